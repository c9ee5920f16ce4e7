package aegis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// Events and commands in JSON, published by hand, as `nats pub` and `nats req` do.

const (
	coreSubject   = "aegis.evt.aegistest.v1.EventService.Core"
	storedSubject = "aegis.log.aegistest.v1.EventService.Stored.0"
	keyedSubject  = "aegis.log.aegistest.v1.EventService.Keyed."
	workSubject   = "aegis.cmd.aegistest.v1.JobService.Work.n."
)

var asJSON = nats.Header{"Content-Type": {"application/json"}}

// byHand publishes a message, and if it is stored waits until it is.
func byHand(t testing.TB, conn *aegis.Conn, subject, body string, header nats.Header) {
	t.Helper()
	msg := &nats.Msg{Subject: subject, Data: []byte(body), Header: header}
	if subject == coreSubject {
		require.NoError(t, conn.NATS().PublishMsg(msg))
		return
	}
	_, err := jetStream(t, conn).PublishMsg(t.Context(), msg)
	require.NoError(t, err)
}

// resultOf returns the result of a command as it is stored.
func resultOf(t testing.TB, conn *aegis.Conn, id string) *nats.Msg {
	t.Helper()
	var msg *nats.Msg
	eventually(t, "a result of "+id, func() bool {
		stream, err := jetStream(t, conn).Stream(t.Context(), resultStream)
		if err != nil {
			return false
		}
		raw, err := stream.GetLastMsgForSubject(t.Context(), "aegis.res.aegistest.v1.JobService."+id+".result")
		if err == nil {
			msg = &nats.Msg{Header: raw.Header, Data: raw.Data}
		}
		return err == nil
	})
	return msg
}

func typedCommand(conn *aegis.Conn, id string) *workCommand {
	return aegistestv1aegis.JobServiceWorkCommand(conn, id)
}

func TestEventsMayBeJSON(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t, silent())
	var core, durable diary
	subscribe(t, conn, handlers{
		Core: func(ctx context.Context, ev *testv1.CoreRequest) error {
			call, _ := aegis.CallFromContext(ctx)
			core.notef("%s %v", ev.GetText(), call.RequestHeader())
			return nil
		},
		Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
			durable.notef("%s %s", ev.GetText(), ev.GetData())
			return nil
		},
	}, nil, aegis.Compete("g"))
	for i, header := range []nats.Header{
		asJSON,
		{"content-type": {"application/json"}, "tenant": {"a"}},
		{"CONTENT-TYPE": {`Application/JSON; charset="UTF-8"`}},
	} {
		byHand(t, conn, coreSubject, fmt.Sprintf(`{"text": "c%d", "ofTheFuture": [1]}`, i), header)
		byHand(t, conn, storedSubject, fmt.Sprintf(`{"text": "s%d", "data": "aGk=", "ofTheFuture": {"a": null}}`, i), header)
	}
	byHand(t, conn, storedSubject, "", asJSON)
	byHand(t, conn, storedSubject, "\x0a\x01p", nats.Header{"Content-Type": {"application/protobuf"}})
	mustStore(t, newPublisher(t, conn), "typed")
	core.becomes(t, "c0 map[]", "c1 map[tenant:[a]]", "c2 map[]")
	durable.becomes(t, "s0 hi", "s1 hi", "s2 hi", " ", "p ", "typed ")
	require.Empty(t, deadLetters(t, conn, eventService))
}

func TestEventsThatAreNoJSONOfTheirTypeAreDeadAtOnce(t *testing.T) {
	t.Parallel()
	var log logs
	conn := aegistest.Connect(t, log.option())
	var d diary
	subscribe(t, conn, handlers{
		Core:   func(_ context.Context, ev *testv1.CoreRequest) error { d.notef("%s", ev.GetText()); return nil },
		Stored: d.stored,
	}, nil, aegis.Compete("g"))
	for _, is := range []struct {
		body   string
		header nats.Header
		reason string
	}{
		{"{\n  \"text\": 1}", asJSON, `(line 2:11): invalid value for string field text: 1`},
		{`{"text": `, asJSON, "unexpected EOF"},
		{`[]`, asJSON, "(line 1:1): unexpected token ["},
		{"\x0a\x01p", asJSON, "it is no valid aegistest.v1.StoredRequest: "},
		{`{"text": "x"}`, nil, "it begins as JSON does, and no header says that it is; publish JSON with the header Content-Type: application/json"},
		{`{"text": "x"}`, nats.Header{"Content-Type": {"text/plain"}}, `Content-Type "text/plain" is not supported; use application/protobuf, or application/json in UTF-8`},
		{`{"text": "x"}`, nats.Header{"Content-Type": {"application/json; charset=latin1"}}, "is not supported"},
	} {
		byHand(t, conn, storedSubject, is.body, is.header)
		letter := deadOf(t, conn, eventService)
		require.Contains(t, letter.Reason, is.reason)
		require.Contains(t, letter.Reason, "INVALID_ARGUMENT")
		require.Equal(t, is.header.Get("Content-Type"), letter.ContentType)
		require.Equal(t, is.body, string(letter.Data))
		require.Error(t, letter.Unmarshal(&testv1.StoredRequest{}))
		require.NoError(t, conn.DiscardDeadLetter(t.Context(), letter))
	}
	byHand(t, conn, coreSubject, `{"text": 1}`, asJSON)
	byHand(t, conn, coreSubject, `{"text": "after"}`, asJSON)
	d.becomes(t, "after")
	require.Contains(t, log.String(), "an event that cannot be read is dropped")
	require.Contains(t, log.String(), "invalid value for string field text: 1")
}

// A letter of JSON is read and put back as JSON, also when it was cut, and a person may
// mend it.
func TestDeadLettersKeepTheirContentType(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte("max_payload: 8192\n"), 0o600))
	conn := aegistest.StartNATSWithConfig(t, path).Connect(t, silent())
	fails := map[string]bool{"a": true, "b": true}
	var d diary
	subscribe(t, conn, handlers{Stored: func(_ context.Context, ev *testv1.StoredRequest) error {
		d.notef("%s", ev.GetText())
		if name := ev.GetText()[:1]; fails[name] {
			fails[name] = false
			return aegis.Permanent(errWrong)
		}
		return nil
	}}, nil, aegis.Compete("g"))
	text := func(letter *aegis.DeadLetter) string {
		var ev testv1.StoredRequest
		require.NoError(t, letter.Unmarshal(&ev))
		return ev.GetText()
	}

	byHand(t, conn, storedSubject, `{"text": "a"}`, nats.Header{"content-type": {"application/json"}, "tenant": {"x"}})
	letter := deadOf(t, conn, eventService)
	require.Equal(t, "application/json", letter.ContentType)
	require.Equal(t, aegis.Header{"tenant": {"x"}}, letter.Header)
	require.Equal(t, "a", text(letter))
	require.NoError(t, conn.PutBack(t.Context(), letter))
	d.becomes(t, "a", "a")

	long := "b" + strings.Repeat("x", 7000)
	byHand(t, conn, storedSubject, `{"text": "`+long+`"}`, nats.Header{"Content-Type": {"application/json"}, "tenant": {strings.Repeat("y", 900)}})
	letter = deadOf(t, conn, eventService)
	require.Empty(t, letter.Header, "the metadata is cut")
	require.Equal(t, long, text(letter))
	require.NoError(t, conn.PutBack(t.Context(), letter))
	d.becomes(t, "a", "a", long, long)

	byHand(t, conn, storedSubject, `{"text": 1}`, asJSON)
	letter = deadOf(t, conn, eventService)
	letter.Data = []byte(`{"text": "mended"}`)
	require.NoError(t, conn.PutBack(t.Context(), letter))
	d.becomes(t, "a", "a", long, long, "mended")

	byHand(t, conn, storedSubject, `{"text": "by hand"}`, nil)
	letter = deadOf(t, conn, eventService)
	letter.ContentType = "application/json"
	require.NoError(t, conn.PutBack(t.Context(), letter))
	d.becomes(t, "a", "a", long, long, "mended", "by hand")
}

// A plain client chooses the partition of a key as docs/protocol.md says.
func TestKeyedEventsInJSONKeepTheOrderOfTheirKey(t *testing.T) {
	t.Parallel()
	var log logs
	conn := aegistest.Connect(t, log.option())
	got := map[string]*diary{"a": {}, "b": {}, "c": {}, "d": {}}
	subscribe(t, conn, handlers{Keyed: func(_ context.Context, ev *testv1.KeyedRequest) error {
		got[ev.GetKey()].notef("%d", ev.GetNumber())
		return nil
	}}, nil, aegis.Compete("g"))
	pub := newPublisher(t, conn)
	for n := range int64(6) {
		for key := range got {
			if n%2 == 0 {
				subject := fmt.Sprint(keyedSubject, wire.Partition(wire.KeyHash(key), 4))
				byHand(t, conn, subject, fmt.Sprintf(`{"key": %q, "number": "%d"}`, key, n), asJSON)
				continue
			}
			_, err := pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: key, Number: n})
			require.NoError(t, err)
		}
	}
	for _, d := range got {
		d.becomes(t, "0", "1", "2", "3", "4", "5")
	}
	const warning = "an event is in the partition of another key"
	require.Zero(t, log.count(warning))
	right := wire.Partition(wire.KeyHash("a"), 4)
	for n := 6; n < 8; n++ {
		byHand(t, conn, fmt.Sprint(keyedSubject, (right+1)%4), fmt.Sprintf(`{"key": "a", "number": %d}`, n), asJSON)
	}
	got["a"].becomes(t, "0", "1", "2", "3", "4", "5", "6", "7")
	require.Equal(t, 1, log.count(warning), log.String())
	require.Contains(t, log.String(), fmt.Sprint("belongs=", keyedSubject, right))
}

func TestCommandsInJSONHaveResultsInJSONForEverybody(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t, silent())
	running, release := make(chan struct{}), make(chan struct{})
	worker(t, conn, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if req.GetText() == "" {
			running <- struct{}{}
			<-release
		}
		call, _ := aegis.CallFromContext(ctx)
		call.ResponseHeader().Set("tenant", call.RequestHeader().Get("tenant"))
		return &testv1.WorkResponse{Text: req.GetText(), Data: []byte("hi")}, nil
	}})
	byHand(t, conn, workSubject+"shell.1", `{"text": "x", "ofTheFuture": 1}`, nats.Header{"content-type": {"application/json"}, "tenant": {"a"}})
	res := resultOf(t, conn, "shell.1")
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.Equal(t, "SUCCEEDED", res.Header.Get(wire.HeaderState))
	require.Equal(t, "a", res.Header.Get("tenant"))
	require.JSONEq(t, `{"text": "x", "data": "aGk="}`, string(res.Data))
	typed, err := typedCommand(conn, "shell.1").Result(t.Context())
	require.NoError(t, err)
	require.Equal(t, "x", typed.GetText())
	require.Equal(t, "hi", string(typed.GetData()))

	// A handle that hears of the result, in place of reading it.
	byHand(t, conn, workSubject+"shell.2", ``, asJSON)
	heard := async(func() (string, error) { return outcome(t.Context(), typedCommand(conn, "shell.2")) })
	receive(t, "the command without a text runs", running)
	close(release)
	require.JSONEq(t, `{"data": "aGk="}`, string(resultOf(t, conn, "shell.2").Data))
	require.Equal(t, result[string]{}, receive(t, "the result", heard))

	// Protobuf stays as it was.
	cmd := send(t, newJobClient(t, conn), "typed")
	require.Equal(t, "typed", mustResult(t, cmd))
	res = resultOf(t, conn, cmd.ID())
	require.Empty(t, res.Header.Values("Content-Type"))
	require.Equal(t, "\x0a\x05typed\x12\x02hi", string(res.Data))
}

func TestFailuresOfCommandsInJSONAreJSON(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t, silent())
	running := make(chan struct{}, 1)
	worker(t, conn, jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if req.GetText() == "waits" {
			running <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, aegis.Permanent(aegis.NewError(aegis.CodeNotFound, strings.Repeat("none ", 300)).WithDetails(getRequest("detail")))
	}})
	byHand(t, conn, workSubject+"shell.1", `{"text": "x"}`, asJSON)
	res := resultOf(t, conn, "shell.1")
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.Equal(t, "FAILED", res.Header.Get(wire.HeaderState))
	require.JSONEq(t, `{"code": 5, "message": "`+strings.Repeat("none ", 300)+`", "details": [
		{"@type": "type.googleapis.com/aegistest.v1.GetRequest", "text": "detail"}]}`, string(res.Data))
	_, err := outcome(t.Context(), typedCommand(conn, "shell.1"))
	e := asError(t, err)
	require.Equal(t, aegis.CodeNotFound, e.Code())
	require.Equal(t, strings.Repeat("none ", 300), e.Message(), "the header has 1 KB of it")
	require.Len(t, e.Details(), 1)
	letter := deadOf(t, conn, jobService)
	require.Equal(t, "application/json", letter.ContentType)
	var req testv1.WorkRequest
	require.NoError(t, letter.Unmarshal(&req))
	require.Equal(t, "x", req.GetText())
	require.NoError(t, conn.DiscardDeadLetter(t.Context(), letter))

	// JSON that cannot be read.
	byHand(t, conn, workSubject+"shell.2", `{"text": 1}`, asJSON)
	res = resultOf(t, conn, "shell.2")
	require.Contains(t, string(res.Data), "(line 1:10): invalid value for string field text: 1")
	require.True(t, protojson.Unmarshal(res.Data, &testv1.WorkResponse{}) != nil && res.Header.Get("Content-Type") == "application/json")
	letter = deadOf(t, conn, jobService)
	require.Contains(t, letter.Reason, "it is no valid aegistest.v1.WorkRequest: ")
	letter.Data = []byte(`{"text": "mended"}`)
	require.NoError(t, conn.PutBack(t.Context(), letter))
	eventually(t, "the mended one failed as all do", func() bool {
		return strings.Contains(string(resultOf(t, conn, "shell.2").Data), "none none")
	})

	// Canceled while it runs, and before it is due; expired.
	byHand(t, conn, workSubject+"shell.3", `{"text": "waits"}`, asJSON)
	cmd := typedCommand(conn, "shell.3")
	receive(t, "it runs", running)
	require.NoError(t, cmd.Cancel(t.Context()))
	byHand(t, conn, workSubject+"shell.4", `{"text": "x"}`, nats.Header{"Content-Type": {"application/json"}, wire.HeaderExpires: {"1"}})
	byHand(t, conn, "aegis.cmdat.aegistest.v1.JobService.Work.n.shell.5", `{"text": "x"}`, nats.Header{
		"Content-Type": {"application/json"}, wire.HeaderScheduleTarget: {workSubject + "shell.5"},
		wire.HeaderSchedule: {"@at " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
	})
	require.NoError(t, typedCommand(conn, "shell.5").Cancel(t.Context()))
	for id, is := range map[string]string{"shell.3": "CANCELED", "shell.4": "EXPIRED", "shell.5": "CANCELED"} {
		res := resultOf(t, conn, id)
		require.Equal(t, is, res.Header.Get(wire.HeaderState))
		require.Equal(t, "application/json", res.Header.Get("Content-Type"), id)
		require.Contains(t, string(res.Data), `"the command `, id)
	}
	_, err = outcome(t.Context(), typedCommand(conn, "shell.5"))
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
}

// A command that is not due yet is still JSON when it is.
func TestScheduledCommandsMayBeJSON(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t, silent())
	worker(t, conn, jobs{})
	byHand(t, conn, "aegis.cmdat.aegistest.v1.JobService.Work.n.shell.1", `{"text": "x"}`, nats.Header{
		"Content-Type": {"application/json"}, wire.HeaderScheduleTarget: {workSubject + "shell.1"},
		wire.HeaderSchedule: {"@at " + time.Now().Add(time.Second).UTC().Format(time.RFC3339)},
	})
	require.JSONEq(t, `{"text": "x"}`, string(resultOf(t, conn, "shell.1").Data))
}
