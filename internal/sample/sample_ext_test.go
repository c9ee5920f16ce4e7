package sample_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "github.com/aegisrpc/aegis/examples/order/gen/order/v1" // messages of all kinds
	"github.com/aegisrpc/aegis/internal/sample"
)

// The sample of each message that this test links is read as that message.
func TestSamplesFitTheirMessages(t *testing.T) {
	t.Parallel()
	var count int
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		count += fit(t, f.Messages())
		return true
	})
	assert.Greater(t, count, 50)
	desc, err := protoregistry.GlobalFiles.FindDescriptorByName("order.v1.PlaceOrderRequest")
	require.NoError(t, err)
	order, ok := desc.(protoreflect.MessageDescriptor)
	require.True(t, ok)
	want := `{"id": "id", "symbol": "symbol", "side": "SIDE_BUY", "quantity": 1, "priceCents": 1}`
	assert.Equal(t, want, string(sample.JSON(order)))
}

func fit(t *testing.T, messages protoreflect.MessageDescriptors) (count int) {
	t.Helper()
	for i := range messages.Len() {
		m := messages.Get(i)
		if m.IsMapEntry() {
			continue
		}
		count += 1 + fit(t, m.Messages())
		err := protojson.UnmarshalOptions{AllowPartial: true}.Unmarshal(sample.JSON(m), dynamicpb.NewMessage(m))
		assert.NoError(t, err, "%s: %s", m.FullName(), sample.JSON(m))
	}
	return count
}
