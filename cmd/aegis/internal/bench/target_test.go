package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/aegisrpc/aegis/internal/spec"
	aegistestv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
)

func method(t *testing.T, file protoreflect.FileDescriptor, service, name protoreflect.Name) *spec.Method {
	t.Helper()
	s, err := spec.FromDescriptor(file.Services().ByName(service))
	require.NoError(t, err)
	return s.Method(string(name))
}

func TestRequestsWithAKeyHaveFields(t *testing.T) {
	t.Parallel()
	require.True(t, keyed(method(t, aegistestv1.File_aegistest_v1_sticky_proto, "AccountService", "Touch")))
	require.True(t, keyed(method(t, aegistestv1.File_aegistest_v1_events_proto, "EventService", "Keyed")))
	require.False(t, keyed(method(t, aegistestv1.File_aegistest_v1_events_proto, "EventService", "Stored")))
	require.False(t, keyed(method(t, aegistestv1.File_aegistest_v1_testing_proto, "ProbeService", "Do")))
}

func TestMarshalledRequestsCostNothing(t *testing.T) { // not parallel, as it counts allocations
	desc := (&aegistestv1.DoRequest{}).ProtoReflect().Descriptor()
	d, err := newData(`ignored`, func([]byte) (*dynamicpb.Message, error) {
		m := dynamicpb.NewMessage(desc)
		m.Set(desc.Fields().ByName("text"), protoreflect.ValueOfString("hello"))
		return m, nil
	})
	require.NoError(t, err)
	next, err := d.marshalled(2)
	require.NoError(t, err)
	var req *emptypb.Empty
	require.Zero(t, testing.AllocsPerRun(100, func() { req, err = next(1, 7) }))
	require.NoError(t, err)
	require.Equal(t, []byte("\n\x05hello"), []byte(req.ProtoReflect().GetUnknown()))
}
