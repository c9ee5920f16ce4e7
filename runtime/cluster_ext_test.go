package aegis_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// clusterPatience is for what waits for raft: an election takes 4 to 9 s.
const clusterPatience = 60 * time.Second

// cluster is three NATS servers with JetStream.
type cluster struct {
	*aegistest.Cluster

	t *testing.T
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	return &cluster{aegistest.StartCluster(t, 3), t}
}

// stop ends a server.
func (c *cluster) stop(name string) {
	c.t.Helper()
	for _, s := range c.Servers() {
		if s.Name() == name {
			s.Stop()
			return
		}
	}
	c.t.Fatalf("there is no server %q", name)
}

// eventually waits for longer than where nothing is elected.
func (c *cluster) eventually(what string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(clusterPatience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("after %v it is still not so: %s", clusterPatience, what)
		}
	}
}

// whole waits until a stream has a leader and so many other replicas, all of
// them current, and returns who leads.
func (c *cluster) whole(ctx context.Context, js jetstream.JetStream, name string, others int) (leader string) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%s has a leader and %d current replicas", name, others), func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		stream, err := js.Stream(asking, name)
		if err != nil {
			return false
		}
		info := stream.CachedInfo().Cluster
		current := 0
		for _, r := range info.Replicas {
			if r.Current && !r.Offline {
				current++
			}
		}
		leader = info.Leader
		return leader != "" && current == others
	})
	return leader
}

// The proto, or the program, asks for three replicas; then one of three servers
// is lost, the one that leads the stream of the events.
func TestWhatIsStoredThreefoldSurvivesTheLossOfAServer(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*clusterPatience)
	defer cancel()
	conn := connectTo(t, c.URL())
	js := jetStream(t, conn)

	events := nextVersion(t, testv1.File_aegistest_v1_events_proto, "EventService", func(s *descriptorpb.ServiceDescriptorProto) {
		opts := &aegisv1.ServiceOptions{EventStorage: &aegisv1.Storage{Replicas: proto.Uint32(3)}}
		s.Options = &descriptorpb.ServiceOptions{}
		proto.SetExtension(s.Options, aegisv1.E_Service, opts)
	})
	three := aegis.WithStorage(aegis.Storage{Replicas: 3})
	var d diary
	subscribeAll := func(srv *aegis.Server) error {
		return aegis.SubscribeEvents(srv, events, []aegis.EventHandler{
			aegis.NewEventHandler("Stored", func(ctx context.Context, ev *testv1.StoredRequest) error {
				if strings.HasPrefix(ev.GetText(), "dead") {
					return aegis.Permanent(errWrong)
				}
				return d.stored(ctx, ev)
			}),
		}, aegis.StartFrom(aegis.StartAll()))
	}
	aegistest.Serve(t, connectTo(t, c.URL()), subscribeAll)
	worker(t, connectTo(t, c.URL()), jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if strings.HasPrefix(req.GetText(), "dead") {
			return nil, aegis.Permanent(errWrong)
		}
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}}, three)
	publisher, err := aegis.NewPublisher(conn, events)
	require.NoError(t, err)
	pub := aegis.NewDurableEvent[testv1.StoredRequest](publisher, "Stored")
	client := newJobClient(t, conn, three)

	var published []string
	var commands []*workCommand
	round := func(name string) {
		for i := range 10 {
			text := name + strconv.Itoa(i)
			_, err := pub.Publish(ctx, stored(text), aegis.MessageID(text))
			require.NoError(t, err)
			published = append(published, text)
			cmd, err := client.Work(ctx, &testv1.WorkRequest{Text: text}, aegis.DedupeKey(text))
			require.NoError(t, err)
			commands = append(commands, cmd)
		}
		_, err := pub.Publish(ctx, stored("dead "+name), aegis.MessageID("dead "+name))
		require.NoError(t, err)
		cmd, err := client.Work(ctx, &testv1.WorkRequest{Text: "dead " + name}, aegis.DedupeKey("dead "+name))
		require.NoError(t, err)
		_, err = cmd.Result(ctx)
		require.ErrorContains(t, err, errWrong.Error())
	}
	check := func(rounds int) {
		for i, cmd := range commands {
			res, err := cmd.Result(ctx)
			require.NoError(t, err)
			require.Equal(t, published[i], res.GetText())
		}
		c.eventually("all are handled", func() bool {
			return !slices.ContainsFunc(published, func(text string) bool { return d.count(text) == 0 })
		})
		for _, service := range []string{"aegistest.v1.EventService", jobService} {
			c.eventually("the others are dead", func() bool {
				n := 0
				for _, err := range conn.DeadLetters(ctx, service) {
					if err != nil {
						return false // while a leader is elected
					}
					n++
				}
				return n == rounds
			})
		}
	}
	round("before")
	check(1)
	leader := ""
	for _, name := range []string{
		"aegis-dead-aegistest-v1-EventService", "aegis-dead-aegistest-v1-JobService",
		"aegis-commands-aegistest-v1-JobService", "aegis-results-aegistest-v1-JobService", eventStream,
	} {
		leader = c.whole(ctx, js, name, 2)
		stream, err := js.Stream(ctx, name)
		require.NoError(t, err)
		require.Equal(t, 3, stream.CachedInfo().Config.Replicas, name)
	}
	c.stop(leader)
	round("after")
	check(2)
}
