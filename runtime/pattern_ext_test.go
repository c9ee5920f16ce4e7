package aegis_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/descriptorpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const otherPattern = "a method has another pattern at an instance that runs"

// A durable event that was made a core one at the subscriber reaches nobody.
func TestPublisherAndSubscriberSayThatTheirPatternsDiffer(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	v2 := nextVersion(t, testv1.File_aegistest_v1_events_proto, "EventService", func(s *descriptorpb.ServiceDescriptorProto) {
		findMethod(t, s, "Stored").Options = methodOptions(&aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{}}})
	})
	var subscribers, publishers, others logs
	srv, err := aegis.NewServer(another(t, conn, subscribers.option()), aegis.WithInstance("new"))
	require.NoError(t, err)
	require.NoError(t, aegis.SubscribeEvents(srv, v2, []aegis.EventHandler{
		aegis.NewEventHandler("Stored", func(context.Context, *testv1.StoredRequest) error { return nil }),
	}, aegis.Compete("g")))
	runServer(t, srv)
	for range 3 {
		newPublisher(t, another(t, conn, publishers.option()))
	}
	eventually(t, "each publisher says so", func() bool { return publishers.count(otherPattern) == 3 })
	require.Equal(t, 3, publishers.count("service=aegistest.v1.EventService method=Stored here=durable_event there=event there_instance=new"))
	subscribe(t, another(t, conn, others.option()), handlers{Stored: (&diary{}).stored}, named("old"), aegis.Compete("g"))
	eventually(t, "a subscriber of the older version too", func() bool { return others.count(otherPattern) == 1 })
	require.Zero(t, subscribers.count(otherPattern), "when it came it was alone")
}

func TestCallerThatFindsNobodySaysThatThePatternDiffers(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	v2 := nextVersion(t, testv1.File_aegistest_v1_testing_proto, "ProbeService", func(s *descriptorpb.ServiceDescriptorProto) {
		findMethod(t, s, "Do").Options = methodOptions(&aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Broadcast{Broadcast: &aegisv1.Broadcast{}}})
	})
	srv, err := aegis.NewServer(another(t, conn), aegis.WithInstance("new"))
	require.NoError(t, err)
	type server = aegistestv1aegis.ProbeServiceServer
	require.NoError(t, aegis.RegisterService[server](srv, v2, probe{}, []aegis.Handler[server]{
		aegis.UnaryHandler("Do", server.Do), aegis.UnaryHandler("Get", server.Get), aegis.UnaryHandler("Quick", server.Quick),
	}))
	runServer(t, srv)
	var log logs
	client := newClient(t, another(t, conn, log.option()))
	_, err = client.Get(t.Context(), getRequest(""))
	require.NoError(t, err)
	for range 3 {
		_, err = client.Do(t.Context(), doRequest(""))
		require.ErrorIs(t, err, aegis.ErrNoResponders)
	}
	eventually(t, "it says why", func() bool { return log.count(otherPattern) == 1 })
	require.Contains(t, log.String(), "method=Do here=load_balanced there=broadcast there_instance=new")
}

func TestSenderSaysThatItsCommandIsNoneAtTheServer(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	v2 := nextVersion(t, testv1.File_aegistest_v1_commands_proto, "JobService", func(s *descriptorpb.ServiceDescriptorProto) {
		findMethod(t, s, "Work").Options = nil
	})
	srv, err := aegis.NewServer(another(t, conn), aegis.WithInstance("new"))
	require.NoError(t, err)
	type server = aegistestv1aegis.JobServiceServer
	require.NoError(t, aegis.RegisterService[server](srv, v2, jobs{}, []aegis.Handler[server]{
		aegis.UnaryHandler("Work", server.Work), aegis.UnaryHandler("Once", server.Once),
	}))
	runServer(t, srv)
	var log logs
	newJobClient(t, another(t, conn, log.option()))
	eventually(t, "it says so", func() bool { return log.count(otherPattern) == 1 })
	require.Contains(t, log.String(), "method=Work here=command there=load_balanced")
}

func TestPatternsAreInTheRecordAndInMicro(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	worker(t, conn, jobs{})
	kv, err := jetStream(t, conn).KeyValue(t.Context(), "aegis-registry")
	require.NoError(t, err)
	keys, err := kv.Keys(t.Context())
	require.NoError(t, err)
	entry, err := kv.Get(t.Context(), keys[0])
	require.NoError(t, err)
	r, err := registry.Decode(jobService, keys[0][len(jobService)+1:], entry.Value())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"Work": "command", "Once": "command"}, r.Patterns)
	info := askMicro[micro.Info](t, plain(t, conn), micro.InfoVerb, "aegistest-v1-JobService", "", 1)[0]
	require.Len(t, info.Endpoints, 2)
	require.Equal(t, "aegis.cmd.aegistest.v1.JobService.Work.*.*.*", info.Endpoints[0].Subject)
	require.Equal(t, "command", info.Endpoints[0].Metadata["pattern"])
}
