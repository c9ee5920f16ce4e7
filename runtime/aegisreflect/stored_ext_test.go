package aegisreflect_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

func TestCommandIsSentFollowedAndFoundById(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	release := make(chan struct{})
	serve(t, conn, registerJobs(func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		call, _ := aegis.CallFromContext(ctx)
		require.NoError(t, job.Report(ctx, aegis.Progress{Percent: 40, Message: "half"}))
		select {
		case <-release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return &testv1.WorkResponse{Text: req.GetText() + " of " + call.RequestHeader().Get("tenant")}, nil
	}))
	work := find(t, linked(another(t, conn)), jobService, "Work")
	ctx, call := aegis.NewCall(within(t))
	call.RequestHeader().Set("tenant", "a")
	sent, err := work.Send(ctx, request(t, work, `{"text": "job"}`), aegis.DedupeKey("k"), aegis.Priority(aegis.PriorityHigh))
	require.NoError(t, err)
	again, err := work.Send(within(t), request(t, work, `{"text": "job"}`), aegis.DedupeKey("k"))
	require.NoError(t, err)
	require.Equal(t, sent.ID(), again.ID())

	found := work.Command(sent.ID())
	require.Same(t, work, found.Method())
	for p, err := range found.Progress(within(t)) {
		require.NoError(t, err)
		if p.Message == "half" {
			break
		}
	}
	status, err := found.Status(within(t))
	require.NoError(t, err)
	require.Equal(t, aegis.CommandRunning, status.State)
	close(release)
	res, err := found.Result(within(t))
	require.NoError(t, err)
	require.JSONEq(t, `{"text":"job of a"}`, text(t, work, res))

	_, err = work.Command("no.such").Result(within(t))
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	_, err = work.Command("no id").Result(within(t))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}

func TestCommandIsCanceled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	begun := make(chan struct{}, 10)
	serve(t, conn, registerJobs(func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	work := find(t, linked(conn), jobService, "Work")
	sent, err := work.Send(within(t), work.NewRequest())
	require.NoError(t, err)
	<-begun
	require.NoError(t, sent.Cancel(within(t)))
	_, err = sent.Result(within(t))
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	require.True(t, aegis.IsWireError(err))
}

func observe(t testing.TB, m *aegisreflect.Method, from aegis.Position) *aegisreflect.Observer {
	t.Helper()
	o, err := m.Observe(within(t), from)
	require.NoError(t, err)
	t.Cleanup(o.Close)
	return o
}

func next(t testing.TB, m *aegisreflect.Method, o *aegisreflect.Observer) (*aegisreflect.Event, string) {
	t.Helper()
	e, err := o.Recv()
	require.NoError(t, err)
	require.NoError(t, e.Err)
	return e, text(t, m, e.Message)
}

func TestCoreEventsArePublishedAndObserved(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	core := find(t, linked(conn), eventService, "Core")
	o := observe(t, core, aegis.StartNew())
	ctx, call := aegis.NewCall(within(t))
	call.RequestHeader().Set("tenant", "a")
	ack, err := core.Publish(ctx, request(t, core, `{"text": "x"}`))
	require.NoError(t, err)
	require.Nil(t, ack)
	e, got := next(t, core, o)
	require.JSONEq(t, `{"text":"x"}`, got)
	require.Equal(t, "a", e.Header.Get("tenant"))
	require.Zero(t, e.Sequence)
	require.False(t, e.Time.IsZero())

	// What cannot be read is told, and the next event comes.
	subject := wire.NewSubjects(conn.Namespace()).Event(eventService, "Core")
	require.NoError(t, conn.NATS().Publish(subject, []byte{0xff}))
	require.NoError(t, conn.NATS().PublishMsg(&natsMsg{Subject: subject, Data: []byte(`{"text":"json","newer":1}`), Header: map[string][]string{"Content-Type": {"application/json"}}}))
	e, err = o.Recv()
	require.NoError(t, err)
	require.Error(t, e.Err)
	require.Nil(t, e.Message)
	require.Equal(t, []byte{0xff}, e.Data)
	_, got = next(t, core, o)
	require.JSONEq(t, `{"text":"json"}`, got)

	_, err = core.Publish(within(t), core.NewRequest(), aegis.MessageID("1"))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	_, err = core.Observe(within(t), aegis.StartAll())
	require.ErrorContains(t, err, "is not stored")
	o.Close()
	_, err = o.Recv()
	require.Equal(t, io.EOF, err)
	for e, err := range o.All() {
		t.Fatal("nothing comes after Close:", e, err)
	}
}

func TestObserverEndsWithItsContextAndItsConnection(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	own, err := aegis.Connect(t.Context(), conn.NATS().ConnectedUrl(), silent())
	require.NoError(t, err)
	stored := find(t, linked(own), eventService, "Stored")
	core := find(t, linked(own), eventService, "Core")
	_, err = stored.Observe(within(t), aegis.StartNew())
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	_, err = stored.Publish(within(t), stored.NewRequest())
	require.NoError(t, err)

	for _, m := range []*aegisreflect.Method{stored, core} {
		ctx, cancel := context.WithCancel(t.Context())
		o, err := m.Observe(ctx, aegis.StartNew())
		require.NoError(t, err)
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err = o.Recv()
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
		eventually(t, "nothing is left without a Close", func() bool { return len(consumers(t, own)) == 0 })
		o.Close()
	}
	a, b := observe(t, stored, aegis.StartNew()), observe(t, core, aegis.StartNew())
	require.NoError(t, own.Close(context.Background()))
	for _, o := range []*aegisreflect.Observer{a, b} {
		_, err = o.Recv()
		require.ErrorIs(t, err, aegis.ErrConnClosed)
	}
}

func TestDurableEventsAreObservedFromAnyPosition(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	keyed := find(t, linked(conn), eventService, "Keyed")
	stored := find(t, linked(conn), eventService, "Stored")
	ack, err := stored.Publish(within(t), request(t, stored, `{"text": "other"}`), aegis.MessageID("1"))
	require.NoError(t, err)
	require.Equal(t, wire.EventStream("aegis", eventService), ack.Stream)
	again, err := stored.Publish(within(t), request(t, stored, `{"text": "other"}`), aegis.MessageID("1"))
	require.NoError(t, err)
	require.True(t, again.Duplicate)

	const events = 1000 // more than one request for messages
	var middle *aegisreflect.Event
	publish := func(n string) {
		_, err := keyed.Publish(within(t), request(t, keyed, `{"key": "k`+n+`", "number": `+n+`}`))
		require.NoError(t, err)
	}
	for range events {
		publish("1")
	}
	all := observe(t, keyed, aegis.StartAll())
	for i := range events {
		e, got := next(t, keyed, all)
		require.JSONEq(t, `{"key":"k1","number":"1"}`, got)
		require.Equal(t, uint64(i+2), e.Sequence)
		if i == events-2 {
			middle = e
		}
	}
	fresh := observe(t, keyed, aegis.StartNew())
	bySequence := observe(t, keyed, aegis.StartSequence(middle.Sequence))
	byTime := observe(t, keyed, aegis.StartTime(middle.Time))
	publish("2")
	_, got := next(t, keyed, fresh)
	require.JSONEq(t, `{"key":"k2","number":"2"}`, got)
	for _, o := range []*aegisreflect.Observer{bySequence, byTime} {
		e, _ := next(t, keyed, o)
		require.Equal(t, middle.Sequence, e.Sequence)
	}
	for _, o := range []*aegisreflect.Observer{all, fresh, bySequence, byTime} {
		o.Close()
	}
	require.Empty(t, consumers(t, conn), "observers leave nothing behind")
	for _, from := range []aegis.Position{aegis.StartSequence(0), aegis.StartTime(time.Time{})} {
		_, err := keyed.Observe(within(t), from)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
		require.ErrorContains(t, err, "aegis.StartAll")
	}
}

// consumers returns the names of the consumers of the stream of the test's events.
func consumers(t testing.TB, conn *aegis.Conn) []string {
	t.Helper()
	stream, err := conn.JetStream().Stream(within(t), wire.EventStream("aegis", eventService))
	require.NoError(t, err)
	var names []string
	for name := range stream.ConsumerNames(within(t)).Name() {
		names = append(names, name)
	}
	return names
}

// A consumer that is gone, as after an outage, is made anew behind the last event.
func TestObserverGoesOnWithoutItsConsumer(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	stored := find(t, linked(conn), eventService, "Stored")
	publish := func(text string) {
		_, err := stored.Publish(within(t), storedEvent(text))
		require.NoError(t, err)
	}
	publish("0")
	fresh, o := observe(t, stored, aegis.StartNew()), observe(t, stored, aegis.StartAll())
	_, got := next(t, stored, o)
	require.JSONEq(t, `{"text":"0"}`, got)
	for _, name := range consumers(t, conn) {
		require.NoError(t, conn.JetStream().DeleteConsumer(within(t), wire.EventStream("aegis", eventService), name))
	}
	publish("1")
	for _, o := range []*aegisreflect.Observer{o, fresh} {
		_, got = next(t, stored, o)
		require.JSONEq(t, `{"text":"1"}`, got)
	}
	require.NoError(t, conn.JetStream().DeleteStream(within(t), wire.EventStream("aegis", eventService)))
	_, err := o.Recv()
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
}

func TestDeadLettersAndStoredCommandsAreDecodedWhenTheServiceIsDown(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var attempts atomic.Int32
	stop := run(t, conn, func(srv *aegis.Server) error {
		if err := registerJobs(func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
			attempts.Add(1)
			return nil, aegis.Permanent(aegis.NewError(aegis.CodeInternal, "broken"))
		})(srv); err != nil {
			return err
		}
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Stored: func(context.Context, *testv1.StoredRequest) error { return aegis.Permanent(errors.New("broken")) },
		}, aegis.Compete("g"))
	})
	r := linked(conn)
	work, stored := find(t, r, jobService, "Work"), find(t, r, eventService, "Stored")
	sent, err := work.Send(within(t), request(t, work, `{"text": "dead"}`))
	require.NoError(t, err)
	_, err = sent.Result(within(t))
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
	_, err = stored.Publish(within(t), request(t, stored, `{"text": "dead too"}`))
	require.NoError(t, err)
	var letters []*aegis.DeadLetter
	eventually(t, "both are dead", func() bool {
		letters = append(deadLetters(t, conn, jobService), deadLetters(t, conn, eventService)...)
		return len(letters) == 2
	})
	stop()
	sent, err = work.Send(within(t), request(t, work, `{"text": "waits"}`))
	require.NoError(t, err)

	// With descriptors that were kept, as nobody runs.
	for service, stream := range map[string]string{jobService: wire.CommandStream("aegis", jobService), eventService: wire.EventStream("aegis", eventService)} {
		set := encoded(t, work.Descriptor().ParentFile().Services().ByName("JobService"))
		if service == eventService {
			set = encoded(t, stored.Descriptor().ParentFile().Services().ByName("EventService"))
		}
		keep(t, conn, stream, set.Hash(), set.Encoded())
	}
	r = aegisreflect.New(another(t, conn))
	var texts []string
	for _, letter := range letters {
		s, err := r.Service(within(t), letter.Service)
		require.NoError(t, err)
		require.NotEmpty(t, s.Hash())
		msg, err := s.DecodeDeadLetter(letter)
		require.NoError(t, err)
		line, err := s.JSON(msg)
		require.NoError(t, err)
		texts = append(texts, letter.Method+" "+string(line))
	}
	require.Equal(t, []string{`Work {"text":"dead"}`, `Stored {"text":"dead too"}`}, texts)

	work = find(t, r, jobService, "Work")
	stream, err := conn.JetStream().Stream(within(t), wire.CommandStream("aegis", jobService))
	require.NoError(t, err)
	waiting, err := stream.GetLastMsgForSubject(within(t), wire.NewSubjects("aegis").Command(jobService, "Work", wire.LevelNormal, sent.ID()))
	require.NoError(t, err)
	msg, err := work.DecodeRequest(waiting.Data)
	require.NoError(t, err)
	require.JSONEq(t, `{"text":"waits"}`, text(t, work, msg))

	letter := *letters[0]
	letter.Omitted = 7
	_, err = work.Service().DecodeDeadLetter(&letter)
	require.ErrorContains(t, err, "its 7 bytes were left out")
	letter = *letters[0]
	letter.Data = []byte{0xff}
	_, err = work.Service().DecodeDeadLetter(&letter)
	require.Equal(t, aegis.CodeDataLoss, aegis.CodeOf(err))
	letter.Method = "Werk"
	_, err = work.Service().DecodeDeadLetter(&letter)
	require.ErrorIs(t, err, aegisreflect.ErrUnknownMethod)
	_, err = work.Service().DecodeDeadLetter(letters[1])
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	_, err = work.DecodeResponse([]byte{0xff})
	require.Equal(t, aegis.CodeDataLoss, aegis.CodeOf(err))
}

func deadLetters(t testing.TB, conn *aegis.Conn, service string) []*aegis.DeadLetter {
	t.Helper()
	var list []*aegis.DeadLetter
	for letter, err := range conn.DeadLetters(within(t), service) {
		require.NoError(t, err)
		list = append(list, letter)
	}
	return list
}
