//go:build linux

package roles

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/election"
)

const connectTimeout = 30 * time.Second

// CandidateOrder says how to stand for election.
type CandidateOrder struct {
	URL      string // one or several, the first one first
	Instance string
	History  string
	Room     int // records in the history
	Replicas int
	Election election.Config
}

// runCandidate serves until SIGTERM, or until the parent goes away.
func runCandidate(o CandidateOrder) error {
	log, err := history.Create(o.History, o.Room)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { awaitParent(nil); stop() }()
	conn, err := connect(ctx, o.URL, o.Instance)
	if err != nil {
		return err
	}
	srv, err := aegis.NewServer(conn,
		aegis.WithInstance(o.Instance), aegis.WithLeaderBucket(aegis.BucketConfig{Replicas: o.Replicas}), aegis.WithStateHook(sayState))
	if err != nil {
		return err
	}
	impl, err := newService(conn.NATS(), o, log)
	if err != nil {
		return err
	}
	if err := faultv1aegis.RegisterFaultServiceServer(srv, impl, aegis.WithElection(o.Election)); err != nil {
		return err
	}
	go sayLeading(srv)
	if err := srv.Run(ctx); err != nil {
		return err
	}
	return conn.Close(context.Background())
}

func connect(ctx context.Context, url, name string) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.DontRandomize(), nats.Name(name)))
}

func sayState(s aegis.State) {
	if s == aegis.StateRunning {
		sayReady()
	}
}

func sayLeading(srv *aegis.Server) {
	for change := range srv.WatchLeading(context.Background()) {
		if change.Leading {
			say(EventLeading, change.Term.Token, history.Now())
		} else {
			say(eventLost, change.Term.Token, history.Now())
		}
	}
}
