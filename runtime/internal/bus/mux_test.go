package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

type noFrames struct{}

func (noFrames) Deliver(string, *nats.Msg) {}
func (noFrames) AskedBy(string)            {}

func newTestMux(t *testing.T) *mux {
	t.Helper()
	s, err := embednats.Start(embednats.Options{})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	m, err := newMux(nc, noFrames{})
	require.NoError(t, err)
	return m
}

// expectFor starts a call of a slot, and returns its reply subject.
func expectFor(m *mux, slot *Slot, target string) string {
	return m.expect(slot, &Request{Subject: &target})
}

func reply(subject, text string) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: []byte(text)}
}

func delivered(t *testing.T, slot *Slot) string {
	t.Helper()
	select {
	case msg := <-slot.replies:
		return string(msg.Data)
	default:
		return ""
	}
}

func TestLateReplyDoesNotReachTheNextCallOfItsSlot(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	old := expectFor(m, slot, "a")
	_, ok := slot.abandon()
	require.False(t, ok, "no reply has come")
	m.deliver(reply(old, "late, to nobody"))
	m.release(slot)
	require.Same(t, slot, m.acquire(), "the next call has the same slot")
	current := expectFor(m, slot, "a")
	require.NotEqual(t, old, current)
	m.deliver(reply(old, "late, to another"))
	require.Empty(t, delivered(t, slot))
	m.deliver(reply(current, "mine"))
	require.Equal(t, "mine", delivered(t, slot))
	m.deliver(reply(current, "twice"))
	require.Empty(t, delivered(t, slot), "a second reply is not the next call's first")
}

func TestReplyThatComesWhileTheCallLeavesIsTaken(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	m.deliver(reply(expectFor(m, slot, "a"), "just in time"))
	msg, ok := slot.abandon()
	require.True(t, ok)
	require.Equal(t, "just in time", string(msg.Data))
	require.Empty(t, slot.replies)
}

func TestRubbishOnReplySubjectsDoesNothing(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	current := expectFor(m, slot, "a")
	for _, token := range []string{
		"", "-", "0", "0-", "-1", "0-0", "1-1", "0-2", "zzzzzzzzzzzz-zzzzzzzzzzzz", "0--1", "0-1-1", "0-A", "+0-1", "live", "live-1",
		"9999999999999-1", strings.Repeat("9", 200),
	} {
		m.deliver(reply(m.prefix+token, token))
		require.Empty(t, delivered(t, slot), token)
	}
	m.deliver(reply(current, "still good"))
	require.Equal(t, "still good", delivered(t, slot))
}

func TestFailEndsTheCallsOfItsSubjectOnly(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	b := Bus{mux: m}
	denied, other, idle := m.acquire(), m.acquire(), m.acquire()
	expectFor(m, denied, "denied")
	expectFor(m, other, "other")
	expectFor(m, idle, "denied")
	_, _ = idle.abandon()
	why := status.New(status.PermissionDenied, "why")
	b.Fail(func(target string) bool { return target == "denied" }, why)
	require.Nil(t, <-denied.replies)
	require.Same(t, why, denied.failure)
	require.Empty(t, other.replies)
	require.Empty(t, idle.replies)
	b.Fail(func(string) bool { return true }, why)
	require.Empty(t, denied.replies, "it waits no longer")
	msg, ok := other.abandon()
	require.Nil(t, msg)
	require.True(t, ok)
	require.Same(t, why, other.failure)
}

func TestCallerAnswersThatItIsThere(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	_, err := m.nc.Request(m.prefix+"live", nil, 5*time.Second)
	require.NoError(t, err)
	require.NoError(t, m.nc.Publish(m.prefix+"live", nil), "without a reply subject it stays silent")
	_, err = m.nc.Request(m.prefix+"live", nil, 5*time.Second)
	require.NoError(t, err)
	m.close()
	require.NoError(t, m.nc.Flush())
	_, err = m.nc.Request(m.prefix+"live", nil, 5*time.Second)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestIdleSlotsHoldNoLargePayloads(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	slot.Payload = make([]byte, MaxKeptPayload)
	m.release(slot)
	require.NotNil(t, m.acquire().Payload)
	slot.Payload = make([]byte, MaxKeptPayload+1)
	m.release(slot)
	require.Nil(t, m.acquire().Payload)
}
