package repo

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// refused stands for the test of mistakes: the option means nothing there, and
// protoc-gen-aegis says so.
const refused = "TestMistakesAreReportedWithTextAndPosition"

// effects names, for each option, a test that fails if the option does nothing when
// the program runs.
func effects() map[string]string {
	return map[string]string{
		"service.version":                         "TestMicroToolsSeeEveryServiceAndInstance",
		"service.load_balanced.sticky_field":      "TestDefaultPatternMayBeSticky",
		"service.load_balanced.prefer_zone":       "TestDefaultPatternMayPreferTheZone",
		"service.single_active.group":             "TestDefaultPatternMayBeSingleActive",
		"service.timeout":                         "TestTimeoutOfTheServiceIsThatOfItsMethods",
		"service.max_concurrency":                 "TestBeyondTheBoundCallsAreRefusedAtOnce",
		"service.election.preset":                 "TestPresetsDecideTheLease",
		"service.election.lease":                  "TestDefaultPatternMayBeSingleActive",
		"service.election.act_window":             "TestDefaultPatternMayBeSingleActive",
		"service.election.probe_interval":         "TestProbeIntervalIsThatOfTheProto",
		"service.event_storage.replicas":          "TestStorageOfTheProto",
		"service.event_storage.max_age":           "TestStorageOfTheProto",
		"service.event_storage.max_bytes":         "TestStorageOfTheProto",
		"service.event_storage.dedupe_window":     "TestStorageOfTheProto",
		"service.command_storage.replicas":        "TestStorageOfTheProto",
		"service.command_storage.max_age":         refused,
		"service.command_storage.max_bytes":       "TestQueueWithASizeRefusesAndLosesNothing",
		"service.command_storage.dedupe_window":   "TestStorageOfTheProto",
		"method.load_balanced":                    "TestDefaultPatternMayBeSingleActive",
		"method.load_balanced.sticky_field":       "TestTheKeyIsTheValueOfTheField",
		"method.load_balanced.prefer_zone":        "TestCallsOfAMethodWithPreferZoneStayInTheZoneOfTheCaller",
		"method.single_active":                    "TestTermReachesHandlerAndCaller",
		"method.single_active.group":              "TestGroupsOfOneServiceHaveLeadersOfTheirOwn",
		"method.broadcast":                        "TestBroadcastReachesAll",
		"method.event":                            "TestCoreEventsGoToOneOfAGroupAndToEachInstance",
		"method.event.compete":                    "TestDurableEventsGoToOneOfAGroupAndToEachInstance",
		"method.event.compete.group":              "TestRedeliveryOfTheProto",
		"method.event.broadcast":                  "TestCoreEventsGoToOneOfAGroupAndToEachInstance",
		"method.event.durable":                    "TestDurableEventsWaitForTheirSubscribers",
		"method.event.key_field":                  "TestEventsOfAKeyAreOrderedAlsoWhenHandlersFail",
		"method.event.partitions":                 "TestNumberOfPartitionsInTheProtoIsNotThatOfAStreamThatExists",
		"method.event.redelivery.max_attempts":    "TestRedeliveryOfTheProto",
		"method.event.redelivery.initial_backoff": "TestRedeliveryOfTheProto",
		"method.event.redelivery.max_backoff":     "TestRedeliveryOfTheProto",
		"method.event.ack_wait":                   "TestRedeliveryOfTheProto",
		"method.command":                          "TestCommandsAreWorkedOnceAndHaveTheirResults",
		"method.command.retry.max_attempts":       "TestRetryOfCommandsOfTheProto",
		"method.command.retry.initial_backoff":    "TestRetryOfCommandsOfTheProto",
		"method.command.retry.max_backoff":        "TestRetryOfCommandsOfTheProto",
		"method.command.attempt_timeout":          "TestAttemptTimesOutUnlessItReports",
		"method.command.ack_wait":                 "TestRetryOfCommandsOfTheProto",
		"method.command.result_ttl":               "TestStreamsOfCommands",
		"method.command.single_active":            "TestOnlyTheLeaderWorksSingleActiveCommandsInOrder",
		"method.command.single_active.group":      "TestGroupOfASingleActiveCommand",
		"method.timeout":                          "TestTimeoutOfTheServiceIsThatOfItsMethods",
		"method.retry.max_attempts":               "TestAttemptsAreBounded",
		"method.retry.initial_backoff":            "TestPausesOfCallsAreThoseOfTheProto",
		"method.retry.max_backoff":                "TestPausesOfCallsAreThoseOfTheProto",
		"method.max_message_bytes":                "TestMessagesBeyondMaxMessageBytes",
	}
}

func TestEveryOptionHasATestOfItsEffect(t *testing.T) {
	var options []string
	for name, extension := range map[string]protoreflect.ExtensionType{"service": aegisv1.E_Service, "method": aegisv1.E_Method} {
		options = append(options, optionsIn(name, extension.TypeDescriptor().Message())...)
	}
	exist := testNames(t)
	effects := effects()
	for _, option := range options {
		test, ok := effects[option]
		if assert.True(t, ok, "no test shows what %s does: write one, and name it here", option) {
			assert.True(t, exist[test], "%s is to show what %s does, and there is no such test", test, option)
		}
		delete(effects, option)
	}
	assert.Empty(t, effects, "options.proto has no such options")
}

// optionsIn lists the options of a message, with all that is inside. A message that
// only holds others together is none itself.
func optionsIn(path string, m protoreflect.MessageDescriptor) (all []string) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		name := path + "." + string(f.Name())
		var inside []string
		if f.Message() != nil && f.Message().ParentFile() == m.ParentFile() {
			inside = optionsIn(name, f.Message())
		}
		if chooses(f) || len(inside) == 0 {
			all = append(all, name)
		}
		all = append(all, inside...)
	}
	return all
}

// chooses reports whether it means something that a field is there, whatever is in
// it: a method's pattern, a mode. The patterns of a service say nothing but what
// they hold, as the first is the default and the second has a group by default.
func chooses(f protoreflect.FieldDescriptor) bool {
	if f.Parent().Name() == "ServiceOptions" {
		return false
	}
	oneof := f.ContainingOneof()
	return oneof != nil && !oneof.IsSynthetic() || f.Message() != nil && f.Message().Name() == "SingleActive"
}

// testNames are the tests of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	tests := slices.DeleteFunc(files(t), func(name string) bool { return !strings.HasSuffix(name, "_test.go") })
	for _, name := range tests {
		for _, match := range declared.FindAllStringSubmatch(read(t, name), -1) {
			names[match[1]] = true
		}
	}
	require.NotEmpty(t, names)
	return names
}
