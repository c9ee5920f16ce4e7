//go:build linux

package roles

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"

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
	conn  *aegis.Conn
	open  atomic.Int64
	short atomic.Uint64 // ended well though something was missing
}

// runStreamer serves streams.
func runStreamer(o StreamerOrder) error {
	s := &streamer{}
	return serve(serving{
		url: o.URL, instance: o.Instance, connect: connectOnly,
		register: func(conn *aegis.Conn, srv *aegis.Server) error {
			s.conn = conn
			return faultv1aegis.RegisterStreamServiceServer(srv, s)
		},
		command: s.command,
	})
}

func (s *streamer) command(line string) {
	switch strings.TrimSpace(line) {
	case CommandMeasure:
		say(EventOpen, uint64(s.open.Load()), 0)
		say(EventShort, s.short.Load(), 0)
		sayHoldings(s.conn)
	case CommandDump:
		dumpGoroutines()
	}
	say(EventDone, 0, 0)
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

// judge fails a stream that ended well although it was not whole.
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
