package spec_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/spec"
)

// 64713 is a number that anybody may use: another option's value must give an
// error, not a panic.
func TestForeignOptionsGiveAnError(t *testing.T) {
	t.Parallel()
	// Field 64713 as a string that is no message.
	raw := append([]byte{0xca, 0xcc, 0x1f, 0x03}, "abc"...)
	_, err := spec.FromDescriptor(service(t, nil, rpc{name: "A", raw: raw}))
	if err == nil || !strings.HasPrefix(err.Error(), "test.v1.Service.A: (aegis.v1.method): the options of test.v1.Service.A cannot be read: ") ||
		!strings.HasSuffix(err.Error(), "; write it as aegis/v1/options.proto declares it") {
		t.Errorf("method: %v", err)
	}
	opts := &descriptorpb.ServiceOptions{}
	opts.ProtoReflect().SetUnknown(raw)
	_, err = spec.FromDescriptor(build(t, "test.v1", &descriptorpb.ServiceDescriptorProto{Name: proto.String("Service"), Options: opts}))
	if err == nil || !strings.HasPrefix(err.Error(), "test.v1.Service: (aegis.v1.service): the options of test.v1.Service cannot be read: ") {
		t.Errorf("service: %v", err)
	}
}

func TestNamesThatNATSCannotTake(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pkg, name, want string
	}{
		{"", "_void", "_void: where names begin with _void, Aegis probes for listeners; rename the package, or the service if it has none"},
		{"_void", "S", "_void.S: where names begin with _void, Aegis probes for listeners; rename the package, or the service if it has none"},
		{"_voids", "S", ""},
		{"a._void", "S", ""},
		{strings.Repeat("p", 198), "S", ""},
	} {
		_, err := spec.FromDescriptor(build(t, test.pkg, &descriptorpb.ServiceDescriptorProto{Name: proto.String(test.name)}))
		if got := text(err); got != test.want {
			t.Errorf("%s.%s: got %q, want %q", test.pkg, test.name, got, test.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
