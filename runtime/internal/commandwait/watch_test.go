package commandwait

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
)

func report(send string, percent float64) *nats.Msg {
	p := wire.Progress{Send: send, Attempt: 1, Percent: &percent}
	return &nats.Msg{Subject: "aegis.told.S.k.1." + wire.ResultProgress, Data: p.Encode()}
}

func result(state string) *nats.Msg {
	return &nats.Msg{Subject: "aegis.told.S.k.1." + wire.ResultResult, Header: nats.Header{wire.HeaderState: {state}}}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestReportThatIsToldAndReadIsOne(t *testing.T) {
	t.Parallel()
	w := newWatch()
	w.heard(report("", 10))
	w.heard(report("", 10))
	w.heard(report("", 20))
	news, _ := w.latest()
	require.Equal(t, 2, news.Reports)
	require.Equal(t, Progress{Percent: 20}, *news.Progress)
}

func TestReportsOfAnotherCommandWithTheKeyAreIgnored(t *testing.T) {
	t.Parallel()
	w := newWatch()
	w.expect("second")
	w.heard(report("first", 90))
	news, changed := w.latest()
	require.Nil(t, news.Progress)
	w.heard(report("second", 10))
	require.True(t, isClosed(changed))
}

func TestFirstOutcomeStays(t *testing.T) {
	t.Parallel()
	w := newWatch()
	_, changed := w.latest()
	w.heard(&nats.Msg{Subject: "aegis.told.S.k.1." + wire.ResultResult}) // of nobody
	require.False(t, isClosed(changed))
	first := result(wire.StateSucceeded)
	w.heard(first)
	w.heard(result(wire.StateFailed))
	w.heard(report("", 10)) // that was overtaken
	require.Same(t, first, w.outcome())
	_, changed = w.latest()
	require.True(t, isClosed(changed))
}

func TestStates(t *testing.T) {
	t.Parallel()
	require.Equal(t, "UNKNOWN", State(-1).String())
	require.Equal(t, "UNKNOWN", State(100).String())
	require.False(t, Running.Ended())
	for _, s := range []State{Succeeded, Failed, Canceled, Expired} {
		require.True(t, s.Ended(), s)
	}
}
