package aegis

import (
	"context"
	"log/slog"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
)

// memory stands for NATS in a unit test, see aegistest.NewMemory: what clients and
// publishers send ends in it, within all interceptors, and it calls the handlers of the
// connection's servers.
type memory struct {
	inmemory.Memory

	// interceptor returns the innermost interceptor of the clients and publishers of a
	// service, which passes nothing on.
	interceptor func(service *spec.Service) Interceptor
	// run is Run of a *Server.
	run func(ctx context.Context, server any) error
}

// memoryKey is the key of perConn under which a connection keeps its memory.
type memoryKey struct{}

// memory returns what stands for NATS; its Memory is nil in all programs but tests.
func (c *Conn) memory() *memory {
	return perConn(c, memoryKey{}, func() *memory { return &memory{} })
}

// intoMemory appends the end of all interceptors to those of a client or a publisher, if
// the connection has a memory.
func (c *Conn) intoMemory(service *spec.Service, list interceptors) interceptors {
	if m := c.memory(); m.Memory != nil {
		list = append(slices.Clip(list), WithInterceptors(m.interceptor(service)).list...)
	}
	return list
}

// outageLogger returns the logger for what is said of a connection that is down: in a unit
// test without NATS nobody waits for it.
func outageLogger(nc *nats.Conn, logger *slog.Logger) *slog.Logger {
	if _, nowhere := nc.Opts.CustomDialer.(inmemory.Nowhere); nowhere {
		return slog.New(slog.DiscardHandler)
	}
	return logger
}
