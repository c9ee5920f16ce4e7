package aegis_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// ask sends a request as `nats req` does.
func ask(t *testing.T, nc *nats.Conn, contentType, body string) *nats.Msg {
	t.Helper()
	msg := nats.NewMsg(doSubject)
	msg.Data = []byte(body)
	if contentType != "" {
		msg.Header.Set("Content-Type", contentType)
	}
	res, err := nc.RequestMsg(msg, patience)
	require.NoError(t, err)
	return res
}

func serveJSON(t *testing.T) *nats.Conn {
	t.Helper()
	conn := connect(t)
	serve(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if req.GetText() == "fail" {
			return nil, aegis.NewError(aegis.CodeNotFound, "none").WithDetails(getRequest("detail"))
		}
		return &testv1.DoResponse{Text: req.GetText(), InstanceName: instanceOf(ctx)}, nil
	}}, aegis.WithInstance("one"))
	return plain(t, conn)
}

func TestJSONRequestsGetJSONAnswers(t *testing.T) {
	t.Parallel()
	nc := serveJSON(t)
	res := ask(t, nc, "application/json", `{"text": "hi", "wait": "1.5s"}`)
	require.JSONEq(t, `{"text": "hi", "instanceName": "one"}`, string(res.Data))
	require.Equal(t, nats.Header{"Content-Type": {"application/json"}}, res.Header)
	res = ask(t, nc, "application/json", "")
	require.JSONEq(t, `{"instanceName": "one"}`, string(res.Data), "nothing is an empty message")
}

func TestJSONRequestsGetJSONErrors(t *testing.T) {
	t.Parallel()
	nc := serveJSON(t)
	res := ask(t, nc, "application/json", `{"text": "fail"}`)
	require.JSONEq(t, `{"code": 5, "message": "none", "details": [
		{"@type": "type.googleapis.com/aegistest.v1.GetRequest", "text": "detail"}]}`, string(res.Data))
	require.Equal(t, "5", res.Header.Get(wire.HeaderServiceErrorCode))
	require.Equal(t, "none", res.Header.Get(wire.HeaderServiceError))
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	for _, body := range []string{`{"text": `, `[]`, `{"text": 1}`, "\xff", "null", `"x"`} {
		res := ask(t, nc, "application/json", body)
		require.Equal(t, "3", res.Header.Get(wire.HeaderServiceErrorCode), body)
		require.Contains(t, res.Header.Get(wire.HeaderServiceError), "the request of aegistest.v1.ProbeService.Do is no valid aegistest.v1.DoRequest: ", body)
		require.True(t, json.Valid(res.Data), body)
		require.Empty(t, res.Header.Get(wire.HeaderReason))
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	nc := serveJSON(t)
	for _, contentType := range []string{"", "application/protobuf"} {
		res := ask(t, nc, contentType, "")
		require.Empty(t, res.Header, "protobuf goes without saying")
	}
	for _, contentType := range []string{"application/json; charset=utf-8", `application/json;charset="UTF-8"`, "APPLICATION/JSON", "application/json; odata=verbose;"} {
		res := ask(t, nc, contentType, `{"text": "hi"}`)
		require.JSONEq(t, `{"text": "hi", "instanceName": "one"}`, string(res.Data), contentType)
		require.Equal(t, nats.Header{"Content-Type": {"application/json"}}, res.Header, contentType)
	}
	for _, contentType := range []string{"text/plain", "application/grpc", "x", "application/json; charset=iso-8859-1", "application/json; charset", "application/"} {
		res := ask(t, nc, contentType, "{}")
		require.Equal(t, "3", res.Header.Get(wire.HeaderServiceErrorCode))
		require.Equal(t, `Content-Type "`+contentType+`" is not supported; use application/protobuf, or application/json in UTF-8`,
			res.Header.Get(wire.HeaderServiceError))
		require.Equal(t, strings.HasPrefix(contentType, "application/json"), json.Valid(res.Data), "who sends JSON can read JSON")
	}
}

// A newer client does not break an older server, as in protobuf.
func TestUnknownFieldsOfJSONAreIgnored(t *testing.T) {
	t.Parallel()
	nc := serveJSON(t)
	res := ask(t, nc, "application/json", `{"text": "hi", "nothing": 1, "ofTheFuture": {"a": [1, {"b": null}]}}`)
	require.JSONEq(t, `{"text": "hi", "instanceName": "one"}`, string(res.Data))

	conn := connect(t)
	serveStreams(t, conn, streams{})
	s := openRaw(t, conn, "Chat", nil, nats.Header{"Content-Type": {"application/json"}})
	s.send(rawFrame{kindData, 1, []byte(`{"text": "hi", "ofTheFuture": true}`)})
	f, _ := s.frame()
	require.JSONEq(t, `{"text": "hi"}`, string(f.body))
}

// HTTP gateways and JavaScript send names in lower case.
func TestHeadersOfACallAreTakenInAnyCase(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	type seen struct {
		attempt int
		left    time.Duration
		header  aegis.Header
	}
	calls := make(chan seen, 1)
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		deadline, _ := ctx.Deadline()
		calls <- seen{call.Attempt(), time.Until(deadline), call.RequestHeader()}
		return &testv1.DoResponse{Text: "done"}, nil
	}})
	nc := plain(t, conn)
	for _, header := range []nats.Header{
		{"content-type": {"application/json"}, "aegis-timeout": {"7200000"}, "aegis-attempt": {"7"}, "tenant": {"a"}},
		{"CONTENT-TYPE": {"application/json"}, "AEGIS-TIMEOUT": {"7200000"}, "Aegis-attempt": {"7"}, "Tenant": {"a"}},
		{"Content-Type": {"application/json"}, "content-type": {"text/plain"}, "Aegis-Timeout": {"7200000"}, "aegis-timeout": {"1"}, "aegis-Attempt": {"7"}, "tenant": {"a"}},
	} {
		res, err := nc.RequestMsg(&nats.Msg{Subject: doSubject, Header: header, Data: []byte(`{"text": "hi"}`)}, patience)
		require.NoError(t, err)
		require.JSONEq(t, `{"text": "done"}`, string(res.Data), header)
		got := receive(t, "a call", calls)
		require.Equal(t, 7, got.attempt)
		require.InDelta(t, 2, got.left.Hours(), 0.5)
		require.Equal(t, aegis.Header{"tenant": {"a"}}, got.header, "the transport's own is not the user's")
	}
}

func TestHeadersOfAStreamAreTakenInAnyCase(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	s := openRaw(t, conn, "Chat", nil, nats.Header{"content-type": {"application/json; charset=utf-8"}})
	s.send(rawFrame{kindData, 1, []byte(`{"text":"hi"}`)})
	f, _ := s.frame()
	require.JSONEq(t, `{"text": "hi"}`, string(f.body))
	bad := askRaw(t, conn, "Chat", nil, nats.Header{"aegis-window": {"many"}})
	require.Equal(t, `Aegis-Window "many" is not a number of messages and one of bytes with a comma between them, 1 to 1073741824 each`,
		bad.next().Header.Get(wire.HeaderServiceError))
}

// A caller that is refused before anything is read gets the answer as it has asked for it.
func TestRefusalsAreInJSONForHeadersInAnyCase(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	held := make(chan struct{})
	defer close(held)
	running := make(chan struct{}, 1)
	serveWith(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		running <- struct{}{}
		<-held
		return &testv1.DoResponse{}, nil
	}}, []aegis.ServiceOption{aegis.WithMaxConcurrency(1)})
	nc := plain(t, conn)
	require.NoError(t, nc.PublishRequest(doSubject, nc.NewInbox(), nil))
	receive(t, "the handler to run", running)
	res, err := nc.RequestMsg(&nats.Msg{Subject: doSubject, Header: nats.Header{"content-type": {"application/json; charset=utf-8"}}}, patience)
	require.NoError(t, err)
	require.Equal(t, aegis.ReasonOverloaded, res.Header.Get(wire.HeaderReason))
	require.Contains(t, string(res.Data), `"code":8`)
}

// An error of a server in another language is not taken for a response.
func TestErrorRepliesAreTakenInAnyCase(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	standInFor(t, conn, doSubject, func(_ int, msg *nats.Msg) {
		require.NoError(t, msg.RespondMsg(&nats.Msg{Header: nats.Header{
			"nats-service-error-code": {"5"}, "nats-service-error": {"none"}, "aegis-reason": {"OF_ITS_OWN"},
		}}))
	})
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	require.EqualError(t, err, "NOT_FOUND (OF_ITS_OWN): none")
	require.True(t, aegis.IsWireError(err))
}
