package dev

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// A process that serves a service and subscribes to its events is told of once in each role,
// however often it changes.
func TestServicesAreToldOnce(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	a := announcer{out: &output{app: &cli.App{Out: &text}}, shown: make(map[role]string)}
	a.know([]protoreflect.FileDescriptor{testv1.File_aegistest_v1_events_proto})
	serving := make(map[role]map[string]bool)
	server := aegis.Instance{Service: aegistestv1aegis.EventServiceName, Process: "p", State: aegis.StateRunning}
	subscriber := server
	subscriber.Subscriber = true
	for _, i := range []aegis.Instance{server, subscriber, server, subscriber} {
		a.see(serving, aegis.InstanceChange{Kind: aegis.InstanceStateChanged, Instance: i})
	}
	assert.Equal(t, 1, strings.Count(text.String(), "EventService is served"), text.String())
	assert.Equal(t, 1, strings.Count(text.String(), "have a subscriber"), text.String())

	text.Reset()
	a.see(serving, aegis.InstanceChange{Kind: aegis.InstanceLeft, Instance: subscriber})
	a.see(serving, aegis.InstanceChange{Kind: aegis.InstanceJoined, Instance: subscriber})
	assert.Equal(t, " | the events of aegistest.v1.EventService have a subscriber\n", text.String()[len("aegis"):], "the lines are known")
}

func TestErrorsOfGoAreShownWithTheirTabs(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	(&output{app: &cli.App{Out: &text}}).sayf(cli.Plain, "missing; to add it:\n\tgo get x")
	assert.Equal(t, "aegis | missing; to add it:\naegis |     go get x\n", text.String())
}
