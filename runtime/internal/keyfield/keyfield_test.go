package keyfield

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	stickyv1 "github.com/aegisrpc/aegis/internal/codegen/golden/sticky"
	"github.com/aegisrpc/aegis/internal/spec"
)

func TestTheKeyIsTheValueOfTheField(t *testing.T) {
	t.Parallel()
	desc, err := spec.FromDescriptor(stickyv1.File_sticky_sticky_proto.Services().ByName("StickyService"))
	require.NoError(t, err)
	full := &stickyv1.KeyRequest{
		Text: "order-7", Bytes: []byte{0, 255}, Number: -5, Unsigned: 4_000_000_000, Side: stickyv1.Side_SIDE_BUY,
		Flag: true, Price: 1.5, Maybe: proto.Int32(0), Choice: &stickyv1.KeyRequest_Left{Left: "l"},
		Inner: &stickyv1.KeyRequest{Inner: &stickyv1.KeyRequest{Text: "deep"}}, At: &timestamppb.Timestamp{Seconds: 12},
	}
	want := map[string][2]string{ // full, empty
		"ByText": {"order-7", ""}, "ByBytes": {"\x00\xff", ""}, "ByNumber": {"-5", "0"}, "ByUnsigned": {"4000000000", "0"},
		"ByEnum": {"1", "0"}, "ByBool": {"true", "false"}, "ByFloat": {"1.5", "0"}, "ByOptional": {"0", "0"},
		"ByChoice": {"l", ""}, "ByPath": {"deep", ""}, "ByImported": {"12", "0"}, "ByNothing": {"", ""},
	}
	require.Len(t, desc.Methods, len(want))
	for _, m := range desc.Methods {
		field := New(m.StickyField)
		require.Equal(t, want[m.Name][0], field.Of(full), m.Name)
		require.Equal(t, want[m.Name][1], field.Of(&stickyv1.KeyRequest{}), m.Name)
		require.Empty(t, field.Of(&stickyv1.KeyResponse{}), "another message than the service's descriptor speaks of")
	}
}
