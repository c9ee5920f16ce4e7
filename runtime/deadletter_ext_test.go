package aegis_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	deadStream      = "aegis-dead-aegistest-v1-JobService"
	deadEventStream = "aegis-dead-aegistest-v1-EventService"
	eventService    = "aegistest.v1.EventService"
)

// fallible fails until it is told to succeed, and counts.
type fallible struct {
	ok   atomic.Bool
	runs atomic.Int64
}

func (f *fallible) work(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	f.runs.Add(1)
	if !f.ok.Load() {
		return nil, aegis.Permanent(errWrong)
	}
	return &testv1.WorkResponse{Text: req.GetText()}, nil
}

func (f *fallible) stored(context.Context, *testv1.StoredRequest) error {
	f.runs.Add(1)
	if !f.ok.Load() {
		return aegis.Permanent(errWrong)
	}
	return nil
}

// deadOf returns the one dead letter of a service, when it is there.
func deadOf(t testing.TB, conn *aegis.Conn, service string) *aegis.DeadLetter {
	t.Helper()
	var all []*aegis.DeadLetter
	eventually(t, "a dead letter", func() bool { all = deadLetters(t, conn, service); return len(all) == 1 })
	return all[0]
}

func TestDeadLetterThatIsPutBackTwiceIsWorkedOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var f fallible
	worker(t, conn, jobs{work: f.work})
	client := newJobClient(t, conn)
	for _, key := range [][]aegis.SendOption{nil, {aegis.DedupeKey("k")}} {
		f.ok.Store(false)
		f.runs.Store(0)
		cmd := send(t, client, "again", key...)
		_, err := outcome(t.Context(), cmd)
		require.ErrorContains(t, err, errWrong.Error())
		letter := deadOf(t, conn, jobService)
		f.ok.Store(true)
		require.NoError(t, conn.PutBack(t.Context(), letter))
		byID := func() *workCommand { return aegistestv1aegis.JobServiceWorkCommand(another(t, conn), cmd.ID()) }
		require.Equal(t, "again", mustResult(t, byID()))
		for range 2 {
			require.NoError(t, conn.PutBack(t.Context(), letter))
			<-time.After(afterDedupeWindow)
		}
		require.Equal(t, "again", mustResult(t, byID()), "the success stays")
		eventually(t, "nothing waits", func() bool { return messages(t, conn, commandStream) == 0 })
		require.EqualValues(t, 2, f.runs.Load())
		require.Empty(t, deadLetters(t, conn, jobService))
	}
}

func TestEventThatIsPutBackTwiceIsHandledOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	_, err := jetStream(t, conn).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: eventStream, Subjects: []string{"aegis.log.aegistest.v1.EventService.>"}, Discard: jetstream.DiscardNew, AllowDirect: true,
		Duplicates: 200 * time.Millisecond,
	})
	require.NoError(t, err)
	var f fallible
	subscribe(t, conn, handlers{Stored: f.stored}, nil, aegis.Compete("g"))
	mustStore(t, newPublisher(t, conn), "")
	letter := deadOf(t, conn, eventService)
	f.ok.Store(true)
	for range 3 {
		require.NoError(t, conn.PutBack(t.Context(), letter))
		<-time.After(300 * time.Millisecond) // the dedupe window
	}
	settled(t, conn, "g-g-Stored")
	require.EqualValues(t, 2, f.runs.Load())
}

// A worker is lost between putting back and removing the letter, or two people do
// it at once.
func TestDeadLetterIsPutBackByTwoAtOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var f fallible
	worker(t, conn, jobs{work: f.work})
	cmd := send(t, newJobClient(t, conn), "again")
	_, err := outcome(t.Context(), cmd)
	require.Error(t, err)
	letter := deadOf(t, conn, jobService)
	f.ok.Store(true)
	var all sync.WaitGroup
	for range 4 {
		other := another(t, conn)
		all.Go(func() {
			if err := other.PutBack(t.Context(), letter); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, "again", mustResult(t, aegistestv1aegis.JobServiceWorkCommand(another(t, conn), cmd.ID())))
	eventually(t, "nothing waits", func() bool { return messages(t, conn, commandStream) == 0 })
	require.EqualValues(t, 2, f.runs.Load())
}

// Only a failure makes room for another result.
func TestDeadLetterOfACommandThatHasEndedOtherwiseCannotBePutBack(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var f fallible
	worker(t, conn, jobs{work: f.work})
	client, key := newJobClient(t, conn), aegis.DedupeKey("k")
	cmd := send(t, client, "first", key)
	_, err := outcome(t.Context(), cmd)
	require.Error(t, err)
	letter := deadOf(t, conn, jobService)
	forgetResults(t, conn) // and the key is used again
	f.ok.Store(true)
	require.Equal(t, "second", mustResult(t, send(t, client, "second", key)))
	err = conn.PutBack(t.Context(), letter)
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "has ended since, as SUCCEEDED")
	require.Equal(t, "second", mustResult(t, send(t, client, "", key)))
	require.NoError(t, conn.DiscardDeadLetter(t.Context(), letter))
	require.Empty(t, deadLetters(t, conn, jobService))
}

// A cancel that crossed the end of a command does not end it again when it is put
// back.
func TestCommandThatIsPutBackIsNotCanceledByAnEarlierCancel(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var f fallible
	worker(t, conn, jobs{work: f.work})
	client := newJobClient(t, conn)
	for i := range 30 {
		f.ok.Store(false)
		opts := []aegis.SendOption{}
		if i%2 == 0 {
			opts = append(opts, aegis.DedupeKey(strconv.Itoa(i)))
		}
		cmd := send(t, client, "", opts...)
		canceled := async(func() (any, error) { return nil, cmd.Cancel(t.Context()) })
		_, err := outcome(t.Context(), cmd)
		receive(t, "the cancel is over", canceled)
		if aegis.CodeOf(err) == aegis.CodeCanceled {
			continue
		}
		letter := deadOf(t, conn, jobService)
		f.ok.Store(true)
		require.NoError(t, conn.PutBack(t.Context(), letter))
		mustResult(t, aegistestv1aegis.JobServiceWorkCommand(another(t, conn), cmd.ID()))
		require.Empty(t, deadLetters(t, conn, jobService))
	}
}

// A stream that is made anew counts anew. Its dead letters are not those of the
// old one. (NATS may bring back what the old one had, if the new one is made while
// the old one is deleted.)
func TestDeadLettersOfAStreamThatWasMadeAnewAreKept(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	var ok atomic.Bool
	var d diary
	subscribe(t, conn, handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		if !ok.Load() {
			return aegis.Permanent(errWrong)
		}
		d.notef("%s", ev.GetText())
		return nil
	}}, nil, aegis.Compete("g"))
	pub := newPublisher(t, conn)
	for round := range 2 {
		mustStore(t, pub, strconv.Itoa(round))
		eventually(t, "it is dead", func() bool { return len(deadLetters(t, conn, eventService)) == round+1 })
		require.NoError(t, js.DeleteStream(t.Context(), eventStream))
	}
	// The same where the dead letters are made anew.
	mustStore(t, pub, "2")
	eventually(t, "it is dead", func() bool { return len(deadLetters(t, conn, eventService)) == 3 })
	stale := deadLetters(t, conn, eventService)[0]
	ok.Store(true)
	require.NoError(t, conn.PutBack(t.Context(), stale))
	eventually(t, "it is handled", func() bool { return d.count("0") == 1 })
	ok.Store(false)
	require.NoError(t, js.DeleteStream(t.Context(), deadEventStream))
	mustStore(t, pub, "3")
	fresh := deadOf(t, conn, eventService)
	require.Equal(t, stale.Sequence, fresh.Sequence)
	require.NoError(t, conn.PutBack(t.Context(), stale))
	require.NoError(t, conn.DiscardDeadLetter(t.Context(), stale))
	require.Len(t, deadLetters(t, conn, eventService), 1, "what has the sequence now is another letter")
	ok.Store(true)
	require.NoError(t, conn.PutBack(t.Context(), fresh))
	eventually(t, "it is handled", func() bool { return d.count("3") == 1 })
	require.Equal(t, 1, d.count("0"))
}

// An event whose handler runs while the stream is made anew is another one than that
// which has its sequence now.
func TestDeadLetterOfAStreamThatIsGoneIsNoOther(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	begun, end := make(chan struct{}), make(chan struct{})
	subscribe(t, conn, handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		if ev.GetText() == "held" {
			close(begun)
			<-end
		}
		return aegis.Permanent(errWrong)
	}}, nil, aegis.Compete("g"), aegis.WithMaxConcurrency(2))
	pub := newPublisher(t, conn)
	mustStore(t, pub, "held")
	receive(t, "it runs", begun)
	require.NoError(t, jetStream(t, conn).DeleteStream(t.Context(), eventStream))
	mustStore(t, pub, "another")
	eventually(t, "that one is dead", func() bool { return len(deadLetters(t, conn, eventService)) == 1 })
	close(end)
	eventually(t, "both are", func() bool { return len(deadLetters(t, conn, eventService)) == 2 })
}

// A letter says more than its message did, and so may exceed max_payload.
func TestDeadLetterThatIsTooLargeIsCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte("max_payload: 8192\n"), 0o600))
	conn := aegistest.StartNATSWithConfig(t, path).Connect(t, silent())
	long := strings.Repeat("why ", 500)
	var runs atomic.Int64
	worker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		runs.Add(1)
		return nil, aegis.Permanent(fmt.Errorf("%w: %s", errWrong, long))
	}})
	client := newJobClient(t, conn)
	for _, size := range []int{6000, 7600, 8000} {
		runs.Store(0)
		cmd := send(t, client, strings.Repeat("x", size))
		_, err := outcome(t.Context(), cmd)
		require.ErrorContains(t, err, errWrong.Error())
		letter := deadOf(t, conn, jobService)
		require.Contains(t, letter.Reason, errWrong.Error())
		if letter.Omitted == 0 {
			var req testv1.WorkRequest
			require.NoError(t, letter.Unmarshal(&req))
			require.Len(t, req.GetText(), size)
			require.Less(t, size, 8000)
		} else {
			require.Equal(t, size+3, letter.Omitted)
			require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(conn.PutBack(t.Context(), letter)))
		}
		require.EqualValues(t, 1, runs.Load())
		require.NoError(t, conn.DiscardDeadLetter(t.Context(), letter))
	}

	// A keyed partition goes on behind it.
	var d diary
	subscribe(t, conn, handlers{Keyed: func(_ context.Context, ev *testv1.KeyedRequest) error {
		if ev.GetNumber() == 1 {
			return aegis.Permanent(fmt.Errorf("%w: %s", errWrong, long))
		}
		d.notef("%d", ev.GetNumber())
		return nil
	}}, nil, aegis.Compete("g"), aegis.StartFrom(aegis.StartAll()))
	pub := newPublisher(t, conn)
	key := string(bytes.Repeat([]byte("k"), 8100))
	for n := range int64(3) {
		_, err := pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: key, Number: n})
		require.NoError(t, err)
	}
	d.becomes(t, "0", "2")
	require.NotZero(t, deadOf(t, conn, eventService).Omitted)
}

// Where the dead letters cannot be made at all, the sender is told, and the
// handler does not run again and again.
func TestCommandEndsThoughThereCanBeNoDeadLetter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`authorization {users = [
		{user: all, password: pw}
		{user: worker, password: pw, permissions: {publish: {deny: ["$JS.API.STREAM.CREATE.`+deadStream+`", "aegis.dead.>"]}}}
	]}`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
	}
	_, err := jetStream(t, as("all")).CreateStream(t.Context(), madeBefore(deadStream, "aegis.dead.aegistest.v1.JobService.>"))
	require.NoError(t, err)
	var log logs
	var f fallible
	worker(t, as("worker", log.option()), jobs{work: f.work})
	_, err = outcome(t.Context(), send(t, newJobClient(t, as("all")), ""))
	require.ErrorContains(t, err, errWrong.Error())
	require.EqualValues(t, 1, f.runs.Load())
	require.Contains(t, log.String(), "the dead letters cannot take it")
}

// refuseLetters makes the dead letters of events refuse all, until there is room.
func refuseLetters(t testing.TB, conn *aegis.Conn) (room func()) {
	t.Helper()
	full := madeBefore(deadEventStream, "aegis.dead.aegistest.v1.EventService.>")
	full.MaxMsgSize = 1
	_, err := jetStream(t, conn).CreateStream(t.Context(), full)
	require.NoError(t, err)
	return func() {
		t.Helper()
		full.MaxMsgSize = -1
		_, err := jetStream(t, conn).UpdateStream(t.Context(), full)
		require.NoError(t, err)
	}
}

// While the dead letters refuse it an event stays with its instance. Its handler
// does not run again, others of its subscription are handled, and the server says
// what is wrong.
func TestEventThatTheDeadLettersRefuseStaysUntilTheyTakeIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	room := refuseLetters(t, conn)
	var d diary
	srv := subscribe(t, another(t, conn), handlers{
		Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
			d.notef("%s", ev.GetText())
			if strings.HasPrefix(ev.GetText(), "bad") {
				return aegis.Permanent(errWrong)
			}
			return nil
		},
		Keyed: func(_ context.Context, ev *testv1.KeyedRequest) error {
			d.notef("key %d", ev.GetNumber())
			if ev.GetNumber() == 1 {
				return aegis.Permanent(errWrong)
			}
			return nil
		},
	}, nil, aegis.Compete("g"))
	pub := newPublisher(t, conn)
	for _, text := range []string{"bad 1", "bad 2", "bad 3", "good"} {
		mustStore(t, pub, text)
	}
	for n := range int64(3) {
		_, err := pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: "k", Number: n})
		require.NoError(t, err)
	}
	eventually(t, "the others are handled", func() bool { return d.count("good") == 1 && d.count("key 1") == 1 })
	eventually(t, "it says what is wrong", func() bool {
		err := srv.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "the dead letters of "+eventService)
	})
	require.Zero(t, d.count("key 2"), "the order of a key is kept")
	room()
	eventually(t, "all are among the dead letters", func() bool { return len(deadLetters(t, conn, eventService)) == 4 })
	eventually(t, "the key goes on", func() bool { return d.count("key 2") == 1 })
	eventually(t, "the server is ready", func() bool { return srv.Ready(t.Context()) == nil })
	for _, text := range []string{"bad 1", "bad 2", "bad 3", "key 1"} {
		require.Equal(t, 1, d.count(text), text)
	}
}

// What an instance could not bury, another one does, and runs no handler for it.
func TestEventThatTheDeadLettersRefuseIsBuriedByAnotherInstance(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	room := refuseLetters(t, conn)
	var f fallible
	first := subscriber(t, another(t, conn), handlers{Stored: f.stored}, nil, aegis.Compete("g"))
	eventually(t, "the group is there", func() bool {
		_, err := jetStream(t, conn).Consumer(t.Context(), eventStream, "g-g-Stored")
		return err == nil
	})
	mustStore(t, newPublisher(t, conn), "")
	attempts := "aegis-attempts-aegistest-v1-EventService"
	eventually(t, "it is known to be dead", func() bool {
		stream, err := jetStream(t, conn).Stream(t.Context(), attempts)
		return err == nil && stream.CachedInfo().State.Msgs == 1
	})
	first.end(t)
	room()
	subscribe(t, conn, handlers{Stored: f.stored}, nil, aegis.Compete("g"))
	require.Contains(t, deadOf(t, conn, eventService).Reason, errWrong.Error())
	require.EqualValues(t, 1, f.runs.Load())
}
