package offer_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/runtime/internal/offer"
)

// described gives a method the descriptor of another one.
func described(m *spec.Method, service, method protoreflect.Name) *spec.Method {
	m.Desc = testv1.File_aegistest_v1_testing_proto.Services().ByName(service).Methods().ByName(method)
	return m
}

func service(methods ...*spec.Method) *spec.Service {
	return &spec.Service{Name: "s.S", Methods: methods}
}

var (
	call      = described(&spec.Method{Name: "Call", Pattern: spec.LoadBalanced}, "ProbeService", "Do")
	stream    = described(&spec.Method{Name: "Count", Pattern: spec.LoadBalanced}, "StreamService", "Count")
	broadcast = &spec.Method{Name: "All", Pattern: spec.Broadcast}
	event     = &spec.Method{Name: "Happened", Pattern: spec.Event}
	command   = &spec.Method{Name: "Do", Pattern: spec.Command}
	ledCall   = &spec.Method{Name: "Lead", Pattern: spec.SingleActive, Group: "g"}
	ledDo     = &spec.Method{Name: "LeadDo", Pattern: spec.Command, Group: "g"}
)

func TestAnOptionLeavesItsHalf(t *testing.T) {
	t.Parallel()
	all, calls, commands := offer.Options{}, offer.Options{WithoutCommands: true}, offer.Options{WithoutCalls: true}
	for _, m := range []*spec.Method{call, broadcast, ledCall} {
		require.True(t, all.Serves(m) && calls.Serves(m) && !commands.Serves(m), m.Name)
	}
	for _, m := range []*spec.Method{command, ledDo} {
		require.True(t, all.Serves(m) && !calls.Serves(m) && commands.Serves(m), m.Name)
	}
	require.False(t, all.Serves(event), "subscribers handle events")
}

func TestOptionsThatDoNothingAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		options offer.Options
		service *spec.Service
		why     string // "": they are fine
	}{
		{offer.Options{}, service(call), ""},
		{offer.Options{WithoutCommands: true}, service(call, command), ""},
		{offer.Options{WithoutCalls: true}, service(call, command), ""},
		{offer.Options{WithoutCommands: true}, service(call, event), "WithoutCommands: s.S has no command"},
		{offer.Options{WithoutCommands: true}, service(command), "WithoutCommands: nothing of s.S is left"},
		{offer.Options{WithoutCalls: true}, service(command, event), "WithoutCalls: s.S has nothing that is called"},
		{offer.Options{WithoutCalls: true}, service(call), "so that nothing of it is left"},
		{offer.Options{WithoutCalls: true, WithoutCommands: true}, service(call, command), "WithoutCalls and WithoutCommands"},
		{offer.Options{WithoutCommands: true, Storage: true}, service(call, command), "WithStorage and WithoutCommands"},
		{offer.Options{WithoutCalls: true, MaxConcurrency: true}, service(call, command), ""},
		{offer.Options{WithoutCommands: true, MaxConcurrency: true}, service(call, command), ""},
		{offer.Options{MaxConcurrency: true}, service(stream, event), "WithMaxConcurrency: s.S has neither a unary call nor a command here"},
		{offer.Options{MaxConcurrency: true, WithoutCommands: true}, service(stream, command), "WithMaxConcurrency: s.S has neither"},
		{offer.Options{WithoutCalls: true, Election: true}, service(ledCall, command), "WithElection: nothing of s.S is left that a leader does"},
		{offer.Options{WithoutCalls: true, Election: true}, service(call, ledDo), ""},
		{offer.Options{WithoutCalls: true}, service(ledCall, ledDo), "WithoutCalls: the group g of s.S has Lead as well as LeadDo"},
		{offer.Options{WithoutCommands: true}, service(ledCall, ledDo), "WithoutCommands: the group g of s.S has LeadDo as well as Lead"},
	} {
		err := test.options.Check(test.service)
		if test.why == "" {
			require.NoError(t, err, "%+v", test.options)
		} else {
			require.ErrorContains(t, err, test.why)
		}
	}
}
