//go:build linux

package roles

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	connectTimeout = 30 * time.Second
	// retryWithin and retryPause are of roles that are started while NATS may be away.
	retryWithin = 60 * time.Second
	retryPause  = 10 * time.Millisecond
)

// serving holds the differences between the roles that serve.
type serving struct {
	url, instance string
	options       []aegis.ServerOption
	// connect is connect, or a variant of it.
	connect func(ctx context.Context, url, name string) (*aegis.Conn, error)
	// register puts the role's service on the server.
	register func(*aegis.Conn, *aegis.Server) error
	// command does what the parent tells the role; nil: nothing.
	command func(line string)
}

// serve runs a server until SIGTERM, or until the parent closes the pipe or dies. It
// says so when the server runs.
func serve(s serving) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	registered := make(chan struct{}) // closed; what command needs is there then
	go func() {
		awaitParent(func(line string) {
			<-registered
			if s.command != nil {
				s.command(line)
			}
		})
		stop()
	}()
	conn, err := s.connect(ctx, s.url, s.instance)
	if ctx.Err() != nil {
		return nil // it was started when all was done
	}
	if err != nil {
		return err
	}
	srv, err := aegis.NewServer(conn, append(s.options, aegis.WithInstance(s.instance), aegis.WithStateHook(sayState))...)
	if err != nil {
		return err
	}
	if err := s.register(conn, srv); err != nil {
		return err
	}
	close(registered)
	if err := srv.Run(ctx); err != nil {
		return err
	}
	return conn.Close(context.Background())
}

func sayState(s aegis.State) {
	if s == aegis.StateRunning {
		sayReady()
	}
}

// connect connects to the first server of url, as long as that is there.
func connect(ctx context.Context, url, name string) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.DontRandomize(), nats.Name(name)))
}

// connectOnly connects to url alone, which is a proxy: servers that NATS tells of
// would lead past it.
func connectOnly(ctx context.Context, url, name string) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.IgnoreDiscoveredServers(), nats.Name(name)))
}

// connectSometime connects when NATS is there.
func connectSometime(ctx context.Context, url, name string) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, retryWithin)
	defer cancel()
	for {
		conn, err := connect(ctx, url, name)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		wait.For(ctx, retryPause)
	}
}

// sayLeading says when terms begin and end.
func sayLeading(srv *aegis.Server) {
	for change := range srv.WatchLeading(context.Background()) {
		if change.Leading {
			say(EventLeading, change.Term.Token, history.Now())
		} else {
			say(eventLost, change.Term.Token, history.Now())
		}
	}
}
