package gather

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const subject = "aegis.all.a.B.Tell"

// start returns a function that makes gatherings over a connection of their own.
func start(t *testing.T) (*nats.Conn, func(Broadcast) *Gathering) {
	t.Helper()
	s, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	b, err := bus.New(nc, nil, false)
	require.NoError(t, err)
	o := Options{
		Context: t.Context(), Bus: b, Subjects: wire.NewSubjects("aegis"),
		Patterns: patterns.New(patterns.Options{
			NATS: nc, Logger: slog.New(slog.DiscardHandler), Start: func(func(context.Context)) bool { return false },
		}),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	t.Cleanup(cancel)
	return nc, func(how Broadcast) *Gathering {
		how.Service, how.Method, how.Name = &spec.Service{Name: "a.B"}, &spec.Method{Name: "Tell", Pattern: spec.Broadcast}, "a.B.Tell"
		how.Subject, how.Cancel = subject, "aegis.cancel.a.B"
		return New(ctx, o, how)
	}
}

// answer has instances answer every broadcast, and say that they are there.
func answer(t *testing.T, nc *nats.Conn, instances ...string) {
	t.Helper()
	for _, name := range instances {
		_, err := nc.Subscribe(subject, func(msg *nats.Msg) {
			_ = msg.RespondMsg(&nats.Msg{Header: nats.Header{wire.HeaderInstance: {name}}})
		})
		require.NoError(t, err)
	}
	require.NoError(t, nc.Flush())
}

func registered(names ...string) []registry.Instance {
	var list []registry.Instance
	for _, name := range names {
		list = append(list, registry.Instance{Record: &registry.Record{Service: "a.B", Instance: name, State: registry.Running}})
	}
	return list
}

// all reads until the end, and returns who has answered and why others have not.
func all(t *testing.T, g *Gathering) (answered []string, lost map[string]*status.Status, end *status.Status) {
	t.Helper()
	lost = map[string]*status.Status{}
	for {
		from, reply, why := g.Next()
		switch {
		case reply != nil:
			answered = append(answered, from)
		case from == "":
			return answered, lost, why
		default:
			lost[from] = why
		}
	}
}

func TestRepliesAreCompleteWhenAllMembersHaveAnswered(t *testing.T) {
	t.Parallel()
	nc, gathering := start(t)
	answer(t, nc, "a", "b")
	g := gathering(Broadcast{})
	require.True(t, g.Named())
	g.Expect(registered("a", "b"))
	require.Nil(t, g.Send(nats.Header{}, nil))
	answered, lost, end := all(t, g)
	require.ElementsMatch(t, []string{"a", "b"}, answered)
	require.Empty(t, lost)
	require.Same(t, End, end)
}

func TestAMemberThatIsGoneIsNamed(t *testing.T) {
	t.Parallel()
	nc, gathering := start(t)
	answer(t, nc, "a")
	g := gathering(Broadcast{})
	g.Expect(registered("a", "gone"))
	require.Nil(t, g.Send(nats.Header{}, nil))
	answered, lost, end := all(t, g)
	require.Equal(t, []string{"a"}, answered)
	require.Same(t, End, end)
	require.Equal(t, status.Unavailable, lost["gone"].Code)
	require.False(t, lost["gone"].NotRun, "the handler may have run before the instance was gone")
}

func TestRulesEndTheReplies(t *testing.T) {
	t.Parallel()
	nc, gathering := start(t)
	answer(t, nc, "a", "b", "b", "c") // b answers twice
	for _, how := range []Broadcast{{Replies: 2}, {Silence: 200 * time.Millisecond}} {
		g := gathering(how)
		require.False(t, g.Named())
		require.Nil(t, g.Send(nats.Header{}, nil))
		answered, lost, end := all(t, g)
		require.Empty(t, lost)
		require.Same(t, End, end)
		if how.Replies > 0 {
			require.Len(t, answered, how.Replies)
		} else {
			require.ElementsMatch(t, []string{"a", "b", "c"}, answered)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	_, gathering := start(t)
	g := gathering(Broadcast{})
	g.Expect(registered("a"))
	require.Nil(t, g.Send(nats.Header{}, nil))
	_, lost, end := all(t, g)
	require.Same(t, End, end)
	require.Equal(t, status.ReasonNoResponders, lost["a"].Reason)
	require.True(t, lost["a"].NotRun)

	g = gathering(Broadcast{})
	g.Expect(nil)
	require.Nil(t, g.Send(nats.Header{}, nil))
	_, lost, end = all(t, g)
	require.Empty(t, lost)
	require.Equal(t, status.ReasonNoResponders, end.Reason)
	require.True(t, end.NotRun)
}
