package dev

import (
	"context"
	"net"
	"sync"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorhttp"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// monitorOff is the value of --monitor with which there is no monitor.
const monitorOff = "off"

// monitor serves the monitor and tells where. The returned function ends it. On the NATS that
// dev has started everything is allowed, as that belongs to the project alone; what else runs
// on a NATS that the user has named is only shown.
func (s *session) monitor(ctx context.Context, o options, conn *aegis.Conn) (stop func(), err error) {
	if o.monitor == monitorOff {
		return func() {}, nil
	}
	l, err := listenMonitor(o.monitor)
	if err != nil {
		return nil, err
	}
	logger := s.out.app.Logger()
	opts := []aegismonitor.Option{aegismonitor.WithLogger(logger)}
	if !o.link.outside {
		opts = append(opts, aegismonitor.WithChanges(), aegismonitor.WithCalls(), aegismonitor.WithPayloads())
	}
	m, err := aegismonitor.New(conn, opts...)
	if err != nil {
		_ = l.Close() // nobody has come
		return nil, err
	}
	server := monitorhttp.New(l, monitorhttp.Options{Monitor: m, Logger: logger})
	ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // it shows how the servers stop
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			s.out.sayf(warning, "the monitor has failed, and the servers go on: %v", err)
		}
	})
	s.out.sayf(cli.Plain, "the monitor shows the services at %s", server.URL())
	return func() {
		end()
		running.Wait()
	}, nil
}

// listenMonitor listens for the monitor, which asks nobody for a password and so has to stay
// on this machine.
func listenMonitor(address string) (net.Listener, error) {
	if address == "" {
		return monitorhttp.ListenDefault()
	}
	l, err := monitorhttp.Listen(address)
	if err != nil {
		return nil, err
	}
	if !monitorhttp.Loopback(l) {
		_ = l.Close() // nobody has come
		return nil, cli.Usagef("--monitor %s: others reach that address, and the monitor of dev asks nobody who they are; "+
			"use an address such as 127.0.0.1:0, or start aegis monitor beside it", address)
	}
	return l, nil
}
