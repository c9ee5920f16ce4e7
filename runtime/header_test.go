package aegis

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

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
			if readMessage(msg, into) != nil {
				t.Fail()
			}
		}), what)
	}
}
