package aegistest

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest/internal/memory"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
)

// Memory is a connection without NATS, for fast unit tests: its clients and publishers call
// the handlers of its servers within the process, through all interceptors, and what was
// published and sent is kept for the test. Messages are copied, and errors and metadata are
// as if they had travelled. It is safe for concurrent use.
//
//   - Calls and streams go to the servers in turn, or where the options of a call say, single
//     active methods to the first server, which leads as soon as its OnLeading has returned.
//     A call that no server can take ends at once; none is tried again.
//   - Events reach the subscribers of the connection in goroutines of their own, are tried
//     again after the pauses of their redelivery, and become dead letters. Groups keep their
//     place as long as the Memory exists.
//   - Commands are worked by the servers of the connection, with priorities, keys, NotBefore,
//     Expiry, attempts, reports and cancels.
//
// Nothing has a limit of size, nothing that is stored is dropped by its age, and there is no
// registry: methods of the connection that ask NATS, such as Instances, return errors.
//
// In a bubble of testing/synctest the pauses between attempts, NotBefore, Expiry and
// deadlines take no time.
type Memory struct {
	conn *aegis.Conn
	hub  *memory.Hub
}

// NewMemory makes a Memory, which ends with the test.
func NewMemory(tb testing.TB, opts ...aegis.ConnOption) *Memory {
	tb.Helper()
	nc, err := nats.Connect("nats://127.0.0.1:4222", nats.SetCustomDialer(inmemory.Nowhere{}), nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1), nats.CustomReconnectDelay(func(int) time.Duration { return never }), nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(5), nats.ReconnectBufSize(-1))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	conn, err := aegis.NewConn(nc, append([]aegis.ConnOption{aegis.WithLogger(newLogger(tb))}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	m := &Memory{conn: conn, hub: memory.New()}
	inmemory.ForTests().Replace(conn, m.hub)
	return m
}

// never is longer than any test.
const never = 10 * 365 * 24 * time.Hour

// Conn returns the connection, for servers, clients and publishers.
func (m *Memory) Conn() *aegis.Conn { return m.conn }

// Settle waits until nothing is under way: no handler of an event or a command runs, and none
// is due. It does not wait for what waits itself: for its next attempt, its NotBefore, a
// subscriber or a worker. The test fails if that takes longer than 30 s.
func (m *Memory) Settle(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := m.hub.Settle(ctx); err != nil {
		tb.Fatalf("handlers of events or commands still run after %v", startTimeout)
	}
}

// Message is an event that was published, or a command that was sent.
type Message struct {
	// Method is the full name of the method, as the constants of generated code have it.
	Method string
	// Body is the event, or the request of the command: a copy.
	Body proto.Message
	// Header is the metadata.
	Header aegis.Header
	// ID is the MessageID of an event, "" for none, or the id of a command.
	ID string
	// Sequence is that of a durable event; else 0.
	Sequence uint64
	// Time is when it was published or sent.
	Time time.Time
}

// Published returns the events that were published, in order. Duplicates of durable events
// are not among them.
func (m *Memory) Published() []Message { return messages(m.hub.Published()) }

// Sent returns the commands that were sent, in order. A command that was sent again with its
// DedupeKey is not among them.
func (m *Memory) Sent() []Message { return messages(m.hub.Sent()) }

// DeadLetter is an event or a command that was given up.
type DeadLetter struct {
	Message
	// Attempts is how many attempts have failed.
	Attempts int
	// Err is the error of the last one, an *aegis.Error.
	Err error
}

// DeadLetters returns the dead letters, in order.
func (m *Memory) DeadLetters() []DeadLetter {
	letters := m.hub.DeadLetters()
	list := make([]DeadLetter, len(letters))
	for i, l := range letters {
		list[i] = DeadLetter{message(l.Message), l.Attempts, inmemory.ForTests().Error(l.Why)}
	}
	return list
}

// Bodies returns those bodies of messages that have a type, in order:
//
//	paid := aegistest.Bodies[paymentsv1.PaidRequest](mem.Published())
func Bodies[T any](messages []Message) []*T {
	var list []*T
	for _, m := range messages {
		if body, ok := any(m.Body).(*T); ok {
			list = append(list, body)
		}
	}
	return list
}

func messages(list []*memory.Message) []Message {
	out := make([]Message, len(list))
	for i, m := range list {
		out[i] = message(m)
	}
	return out
}

func message(m *memory.Message) Message {
	return Message{
		Method: string(m.Method.Desc.FullName()), Body: proto.Clone(m.Body), Header: maps.Clone(aegis.Header(m.Header)),
		ID: m.ID, Sequence: m.Sequence, Time: m.Time,
	}
}
