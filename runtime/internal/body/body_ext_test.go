package body_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

func TestBodiesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	sent := &testv1.DoRequest{Text: "a", Data: []byte{1}}
	for _, json := range []bool{false, true} {
		b, err := body.Append([]byte("head"), sent, json)
		require.NoError(t, err)
		require.Equal(t, "head", string(b[:4]))
		got := &testv1.DoRequest{Text: "of a message before"}
		require.NoError(t, body.Unmarshal(b[4:], json, got))
		require.True(t, proto.Equal(sent, got), got)
		require.NoError(t, body.Unmarshal(nil, json, got))
		require.True(t, proto.Equal(&testv1.DoRequest{}, got), "an empty body is an empty message: %v", got)
	}
	require.NoError(t, body.Unmarshal([]byte(`{"of_a_newer_process": 1}`), true, &testv1.DoRequest{}))
}

func TestStoredMessagesAreReadByTheirContentType(t *testing.T) {
	t.Parallel()
	read := func(contentType, data string) *status.Status {
		return body.ReadStored(&nats.Msg{Header: nats.Header{"Content-Type": {contentType}}, Data: []byte(data)}, &testv1.DoRequest{})
	}
	require.Nil(t, read("application/json", `{"text": "a"}`))
	require.Equal(t, status.InvalidArgument, read("application/json", `{`).Code)
	require.Equal(t, status.InvalidArgument, read("text/html", ``).Code)
}

// The content type of an event or a command costs nothing but where there is one that has
// to be parsed.
func TestContentTypeIsReadWithoutAllocations(t *testing.T) {
	for what, header := range map[string]nats.Header{
		"no header":    nil,
		"metadata":     {"tenant": {"a"}, "Nats-Msg-Id": {"M.1"}, "trace-id": {"b"}},
		"said":         {"Content-Type": {"application/protobuf"}},
		"in JSON":      {"Content-Type": {"application/json"}},
		"in lowercase": {"content-type": {"application/json"}, "tenant": {"a"}},
	} {
		msg, into := &nats.Msg{Subject: "s", Header: header}, proto.Message(&emptypb.Empty{})
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if body.ReadStored(msg, into) != nil {
				t.Fail()
			}
		}), what)
	}
}
