package aegis_test

import (
	"context"
	"encoding/json"
	"testing"

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
			err, _ := aegis.NewError(aegis.CodeNotFound, "none").WithDetails(getRequest("detail"))
			return nil, err
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
	for _, body := range []string{`{"text": `, `[]`, `{"text": 1}`, `{"nothing": 1}`, "\xff", "null", `"x"`} {
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
	for _, contentType := range []string{"text/plain", "application/grpc", "APPLICATION/JSON", "x"} {
		res := ask(t, nc, contentType, "{}")
		require.Equal(t, "3", res.Header.Get(wire.HeaderServiceErrorCode))
		require.Equal(t, `Content-Type "`+contentType+`" is not supported; use application/protobuf or application/json`,
			res.Header.Get(wire.HeaderServiceError))
	}
}
