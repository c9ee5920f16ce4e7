package howto

import (
	"context"
	"errors"
	"sync"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// ServeAll serves the same over several NATS, until ctx ends or one of them fails.
func ServeAll(ctx context.Context, conns []*aegis.Conn, register func(*aegis.Server) error) error {
	var servers []*aegis.Server
	for _, conn := range conns {
		srv, err := aegis.NewServer(conn)
		if err == nil {
			err = register(srv)
		}
		if err != nil {
			return err
		}
		servers = append(servers, srv)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(servers))
	var running sync.WaitGroup
	for i, srv := range servers {
		running.Go(func() {
			defer cancel()
			errs[i] = srv.Run(ctx)
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
