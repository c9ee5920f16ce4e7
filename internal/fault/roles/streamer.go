//go:build linux

package roles

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/nats-io/nats.go"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// What both sides of streams are asked, and what they say then. Each answer ends
// with the event done.
const (
	CommandMeasure = "measure"
	CommandDump    = "dump" // the goroutines, into the log

	EventGoroutines    = "goroutines"
	EventSubscriptions = "subscriptions"
	EventHeap          = "heap" // in use after a garbage collection, in bytes
	EventOpen          = "open" // streams, of a server
	EventShort         = "short"
	EventDone          = "done"
)

// StreamerOrder says how to serve streams.
type StreamerOrder struct {
	URL      string
	Instance string
}

// streamer is a StreamService that counts.
type streamer struct {
	open  atomic.Int64
	short atomic.Uint64 // ended well though something was missing
}

// runStreamer serves until SIGTERM, or until the parent goes away.
func runStreamer(o StreamerOrder) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := connectStreams(ctx, o.URL, o.Instance)
	if err != nil {
		return err
	}
	srv, err := aegis.NewServer(conn, aegis.WithInstance(o.Instance), aegis.WithStateHook(sayState))
	if err != nil {
		return err
	}
	s := &streamer{}
	if err := faultv1aegis.RegisterStreamServiceServer(srv, s); err != nil {
		return err
	}
	go func() {
		awaitParent(func(line string) {
			switch strings.TrimSpace(line) {
			case CommandMeasure:
				say(EventOpen, uint64(s.open.Load()), 0)
				say(EventShort, s.short.Load(), 0)
				sayHoldings(conn)
			case CommandDump:
				dumpGoroutines()
			}
			say(EventDone, 0, 0)
		})
		stop()
	}()
	if err := srv.Run(ctx); err != nil {
		return err
	}
	return conn.Close(context.Background())
}

func connectStreams(ctx context.Context, url, name string) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.IgnoreDiscoveredServers(), nats.Name(name)))
}

// sayHoldings says what the process holds.
func sayHoldings(conn *aegis.Conn) {
	runtime.GC()
	runtime.GC() // what has finalizers goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	say(EventHeap, m.HeapInuse, 0)
	say(EventGoroutines, uint64(runtime.NumGoroutine()), 0)
	say(EventSubscriptions, uint64(conn.NATS().NumSubscriptions()), 0)
}

func dumpGoroutines() {
	_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // it is for a person
}

// Pull streams items.
func (s *streamer) Pull(_ context.Context, req *faultv1.PullRequest, out aegis.Sender[faultv1.PullResponse]) error {
	s.open.Add(1)
	defer s.open.Add(-1)
	m := maker{items: req.GetItems()}
	for item := m.next(); item != nil; item = m.next() {
		if err := out.Send(&faultv1.PullResponse{Item: item}); err != nil {
			return err
		}
	}
	return nil
}

// Push takes items.
func (s *streamer) Push(_ context.Context, in aegis.Receiver[faultv1.PushRequest]) (*faultv1.PushResponse, error) {
	s.open.Add(1)
	defer s.open.Add(-1)
	var t taker
	for req, err := range in.All() {
		if err != nil {
			return nil, err
		}
		if t.take(req.GetItem()); t.wrong {
			break
		}
	}
	return &faultv1.PushResponse{Item: t.last}, s.judge(&t)
}

// Chat returns each item.
func (s *streamer) Chat(_ context.Context, in aegis.Receiver[faultv1.ChatRequest], out aegis.Sender[faultv1.ChatResponse]) error {
	s.open.Add(1)
	defer s.open.Add(-1)
	var t taker
	for req, err := range in.All() {
		if err != nil {
			return err
		}
		if t.take(req.GetItem()); t.wrong {
			break
		}
		if err := out.Send(&faultv1.ChatResponse{Item: req.GetItem()}); err != nil {
			return err
		}
	}
	return s.judge(&t)
}

// judge is told what came of requests that seem to be whole.
func (s *streamer) judge(t *taker) error {
	if t.whole() {
		return nil
	}
	s.short.Add(1)
	return errShort
}

// errShort is of a stream that ended well though something was missing, or that
// carried something wrong.
var errShort = errors.New("the stream is short")
