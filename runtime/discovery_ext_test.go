package aegis_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	probeName = "aegistest.v1.ProbeService"
	orderName = "order.v1.OrderService"

	// quickBeat lets instances expire soon.
	quickBeat = 200 * time.Millisecond
)

// changes pulls what WatchInstances yields.
type changes struct {
	t    *testing.T
	next func() (aegis.InstanceChange, error, bool)
}

func watchInstances(t *testing.T, conn *aegis.Conn, service string) *changes {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	next, stop := iter.Pull2(conn.WatchInstances(ctx, service))
	t.Cleanup(func() { cancel(); stop() })
	return &changes{t, next}
}

// tells asserts what the next changes are.
func (c *changes) tells(want ...string) {
	c.t.Helper()
	for _, w := range want {
		change, err, ok := c.next()
		require.True(c.t, ok, "the changes ended before: %s", w)
		require.NoError(c.t, err, w)
		require.Equal(c.t, w, changeText(change))
	}
}

func changeText(c aegis.InstanceChange) string {
	text := fmt.Sprintf("%s %s", c.Instance.Name, c.Kind)
	switch c.Kind {
	case aegis.InstanceStateChanged:
		text += fmt.Sprintf(" %v>%v", c.Previous, c.Instance.State)
	case aegis.InstanceLeads, aegis.InstanceStoppedLeading:
		text += " " + c.Term.Group
	default:
	}
	return text
}

// shows waits until a service has these instances, each with its state.
func shows(t *testing.T, conn *aegis.Conn, service string, want ...string) {
	t.Helper()
	var last string
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		instances, err := conn.Instances(t.Context(), service)
		require.NoError(t, err)
		got := []string{}
		for _, i := range instances {
			got = append(got, i.Name+" "+i.State.String())
		}
		if last = strings.Join(got, ", "); last == strings.Join(want, ", ") {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%s has the instances %q in place of %q", service, last, want)
}

func TestInstancesAreVisibleFromStartToStop(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	watcher := another(t, conn)
	first := run(t, conn, probe{}, aegis.WithInstance("a"))
	c := watchInstances(t, watcher, probeName)
	c.tells("a joined")
	shows(t, watcher, probeName, "a RUNNING")
	all := watchInstances(t, watcher, aegis.AllServices)
	all.tells("a joined")
	instances, err := watcher.Instances(t.Context(), probeName)
	require.NoError(t, err)
	require.Len(t, instances, 1)
	require.Equal(t, "1.2.3", instances[0].Version)
	require.WithinDuration(t, time.Now(), instances[0].Started, time.Minute)
	eventually(t, "a heartbeat was heard", func() bool {
		instances, err := watcher.Instances(t.Context(), probeName)
		return err == nil && len(instances) == 1 && !instances[0].Heard.IsZero()
	})
	instances, err = watcher.Instances(t.Context(), probeName)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), instances[0].Heard, time.Minute)
	services, err := watcher.Services(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{probeName}, services)

	second := run(t, conn, probe{}, aegis.WithInstance("b"))
	shows(t, watcher, probeName, "a RUNNING", "b RUNNING")
	second.stop()
	require.NoError(t, receive(t, "Run returns", second.done))
	want := []string{"b joined", "b state changed STARTING>RUNNING", "b state changed RUNNING>STOPPING", "b left"}
	skipStart(c)
	c.tells(want...)
	skipStart(all)
	all.tells(want...)
	shows(t, watcher, probeName, "a RUNNING")
	first.stop()
	require.NoError(t, receive(t, "Run returns", first.done))
	c.tells("a state changed RUNNING>STOPPING", "a left")
	shows(t, watcher, probeName)
}

// skipStart reads the change of state that may have come before the watch began.
func skipStart(c *changes) {
	change, err, ok := c.next()
	require.True(c.t, ok)
	require.NoError(c.t, err)
	if changeText(change) != "a state changed STARTING>RUNNING" {
		next, first := c.next, true
		c.next = func() (aegis.InstanceChange, error, bool) {
			if first {
				first = false
				return change, nil, true
			}
			return next()
		}
	}
}

// PEERS 16: nothing relies on the NATS server to expire a key.
func TestACrashedInstanceExpires(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	doomed := another(t, conn)
	srv := run(t, doomed, probe{}, aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat))
	shows(t, conn, probeName, "a RUNNING")
	c := watchInstances(t, conn, probeName)
	c.tells("a joined")
	doomed.NATS().Close()
	start := time.Now()
	c.tells("a expired")
	require.Less(t, time.Since(start), 3*quickBeat+500*time.Millisecond+slack)
	require.ErrorIs(t, receive(t, "Run returns", srv.done), aegis.ErrConnClosed)
	// The record is still in the bucket, and brings it back to nobody who knew.
	shows(t, conn, probeName)
}

// slack is for a machine that has other things to do.
const slack = 3 * time.Second

func TestLeadersAreVisible(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	a := stand(t, n, &desk{name: "a"})
	term := a.leads(t)
	watcher := n.Connect(t)
	eventually(t, "a is seen leading", func() bool {
		instances, err := watcher.Instances(t.Context(), orderName)
		require.NoError(t, err)
		return len(instances) == 1 && len(instances[0].Leading) == 1 && instances[0].Leading[0].Token == term.Token &&
			instances[0].Leading[0].Group == "default" && instances[0].Leading[0].Since.Equal(term.Since)
	})
	shows(t, watcher, orderName, "a RUNNING")
	c := watchInstances(t, watcher, orderName)
	c.tells("a joined", "a leads default")
	b := stand(t, n, &desk{name: "b"})
	shows(t, watcher, orderName, "a RUNNING", "b RUNNING")
	require.NoError(t, a.stop())
	b.leads(t)
	seen := map[string]bool{}
	for !seen["b leads default"] || !seen["a left"] {
		change, err, ok := c.next()
		require.True(t, ok)
		require.NoError(t, err)
		seen[changeText(change)] = true
	}
	require.True(t, seen["a no longer leads default"])
	require.True(t, seen["a state changed RUNNING>STOPPING"])
}

func TestTheSecondOfOneNameDoesNotStart(t *testing.T) {
	t.Parallel()
	for name, conn := range map[string]*aegis.Conn{"with JetStream": connect(t), "without": connectTo(t, startRestartable(t).url)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serve(t, conn, probe{}, aegis.WithInstance("a"))
			watcher := another(t, conn)
			shows(t, watcher, probeName, "a RUNNING")
			c := watchInstances(t, watcher, probeName)
			c.tells("a joined")
			srv, err := aegis.NewServer(another(t, conn), aegis.WithInstance("a"))
			require.NoError(t, err)
			require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}))
			err = srv.Run(t.Context())
			require.ErrorIs(t, err, aegis.ErrInstanceTaken)
			require.ErrorContains(t, err, `instance "a" of `+probeName)
			require.ErrorContains(t, err, "give this one another name, or stop the other one first")

			// The first one goes on, and nobody has noticed.
			_, err = newClient(t, watcher).Do(t.Context(), doRequest(""), aegis.ToInstance("a"))
			require.NoError(t, err)
			b := run(t, conn, probe{}, aegis.WithInstance("b"))
			c.tells("b joined", "b state changed STARTING>RUNNING")
			b.stop()
			require.NoError(t, receive(t, "Run returns", b.done))
		})
	}
}

func TestARestartTakesItsNameOver(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	watcher := another(t, conn)
	for range 3 {
		doomed := another(t, conn)
		srv := run(t, doomed, probe{}, aegis.WithInstance("a"))
		shows(t, watcher, probeName, "a RUNNING")
		instances, err := watcher.Instances(t.Context(), probeName)
		require.NoError(t, err)
		require.Len(t, instances, 1)
		doomed.NATS().Close() // leaves its record
		require.ErrorIs(t, receive(t, "Run returns", srv.done), aegis.ErrConnClosed)
	}
}

// A tap on everything hides that nobody listens: then silence decides.
func TestARestartUnderATapWaitsForSilence(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	spyOn(t, conn)
	doomed := another(t, conn)
	run(t, doomed, probe{}, aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat))
	doomed.NATS().Close()
	start := time.Now()
	serve(t, conn, probe{}, aegis.WithInstance("a"))
	require.Greater(t, time.Since(start), 3*quickBeat)
}

func TestForeignValuesAreSkippedWithOneLine(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{}, aegis.WithInstance("a"))
	js, err := jetstream.New(conn.NATS())
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), "aegis-registry")
	require.NoError(t, err)
	status, err := kv.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, status.TTL())
	for key, value := range map[string]string{
		"corrupt": `{"v":1,"process":"P","state":`, "future": `{"v":99,"process":{}}`, "foreign": "hello", "empty": "",
	} {
		_, err := kv.PutString(t.Context(), probeName+"."+key, value)
		require.NoError(t, err)
	}
	_, err = kv.PutString(t.Context(), "nodots", "x")
	require.NoError(t, err)
	var log logs
	watcher := another(t, conn, log.option())
	shows(t, watcher, probeName, "a RUNNING")
	shows(t, watcher, aegis.AllServices, "a RUNNING")
	for range 3 {
		require.NoError(t, conn.NATS().Publish("aegis.beat."+probeName+".x", []byte("junk")))
		require.NoError(t, conn.NATS().Publish("aegis.beat", []byte("junk")))
	}
	eventually(t, "the line about a heartbeat", func() bool { return log.count("aegis.beat."+probeName+".x") >= 2 })
	require.Equal(t, 1, strings.Count(log.String(), "key="+probeName+".foreign")/2, "each view has said so once")
	require.Equal(t, 2, log.count("and this program knows 1; update it"))
	shows(t, watcher, probeName, "a RUNNING")
}

// A value under the own key that is no record is in nobody's way.
func TestTheOwnKeyIsReplaced(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js, err := jetstream.New(conn.NATS())
	require.NoError(t, err)
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "aegis-registry"})
	require.NoError(t, err)
	for i, value := range []string{"hello", `{"v":99,"process":"GONE"}`} {
		name := string(rune('a' + i))
		_, err = kv.PutString(t.Context(), probeName+"."+name, value)
		require.NoError(t, err)
		serve(t, conn, probe{}, aegis.WithInstance(name))
		shows(t, another(t, conn), probeName+"", []string{"a RUNNING", "b RUNNING"}[:i+1]...)
	}
}

func TestInstancesOfServicesThatCannotBe(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, name := range []string{"", "a b", "a.*", ">", "a..b", strings.Repeat("x", 300)} {
		_, err := conn.Instances(t.Context(), name)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), name)
		for _, err := range conn.WatchInstances(t.Context(), name) {
			require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), name)
		}
	}
	instances, err := conn.Instances(t.Context(), "nobody.v1.Nothing")
	require.NoError(t, err)
	require.Empty(t, instances)
}

func TestAViewThatCannotBeReadyIsAnError(t *testing.T) {
	t.Parallel()
	nats := startRestartable(t)
	conn := connectTo(t, nats.url)
	nats.down(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := conn.Instances(ctx, probeName)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	start := time.Now()
	_, err = conn.Instances(t.Context(), probeName)
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.ErrorContains(t, err, "server is disconnected")
	require.Less(t, time.Since(start), 6*time.Second)
}

func TestWatchesEndWithTheirContextAndTheConnection(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	watching := func(ctx context.Context) {
		var last error
		for _, last = range conn.WatchInstances(ctx, probeName) { //nolint:revive // the last one counts
		}
		ended <- last
	}
	go watching(ctx)
	cancel()
	require.NoError(t, receive(t, "the watch ends", ended))
	serve(t, another(t, conn), probe{}, aegis.WithInstance("a"))
	go watching(t.Context())
	shows(t, conn, probeName, "a RUNNING")
	require.NoError(t, conn.Close(t.Context()))
	require.ErrorIs(t, receive(t, "the watch ends", ended), aegis.ErrConnClosed)
	_, err := conn.Instances(t.Context(), probeName)
	require.ErrorIs(t, err, aegis.ErrConnClosed)
}

const registryPermissions = `
authorization {
  users = [
    {user: server, password: x, permissions: {
      publish: ["aegis.live.*", "aegis.*._void.*", "aegis.beat.aegistest.v1.ProbeService.a", "_INBOX.>",
        "$JS.API.STREAM.INFO.KV_aegis-registry", "$JS.API.STREAM.CREATE.KV_aegis-registry",
        "$JS.API.STREAM.MSG.GET.KV_aegis-registry", "$KV.aegis-registry.aegistest.v1.ProbeService.a"]
      subscribe: ["aegis.call.aegistest.v1.ProbeService.* aegis", "aegis.inst.*.aegistest.v1.ProbeService.*",
        "aegis.cancel.aegistest.v1.ProbeService", "aegis.live.*", "aegis.beat.aegistest.v1.ProbeService.a", "$SRV.>", "_INBOX.>",
        "aegis.desc.aegistest.v1.ProbeService.* aegis"]
      allow_responses: {max: -1}
    }}
    {user: client, password: x, permissions: {
      publish: ["$JS.API.STREAM.INFO.KV_aegis-registry", "$JS.API.CONSUMER.CREATE.KV_aegis-registry.>", "$JS.FC.KV_aegis-registry.>"]
      subscribe: ["aegis.beat.aegistest.v1.ProbeService.*", "_INBOX.>"]
    }}
    {user: poorserver, password: x, permissions: {
      publish: ["aegis.live.*", "aegis.*._void.*", "aegis.beat.aegistest.v1.ProbeService.b", "aegis.inst.b.aegistest.v1.ProbeService.-"]
      subscribe: ["aegis.call.aegistest.v1.ProbeService.* aegis", "aegis.inst.*.aegistest.v1.ProbeService.*",
        "aegis.cancel.aegistest.v1.ProbeService", "aegis.live.*", "_INBOX.>"]
      allow_responses: {max: -1}
    }}
    {user: poorclient, password: x, permissions: {
      publish: {deny: ">"}
      subscribe: ["aegis.beat.aegistest.v1.ProbeService.*", "_INBOX.>"]
    }}
  ]
}
`

func TestOptionsOfTheRegistryAreChecked(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, o := range []aegis.ServerOption{
		aegis.WithHeartbeat(0), aegis.WithHeartbeat(time.Hour), aegis.WithHeartbeat(150*time.Millisecond + 1), aegis.WithRegistryBucket(aegis.BucketConfig{Replicas: 2}),
	} {
		_, err := aegis.NewServer(conn, o)
		require.ErrorIs(t, err, aegis.ErrInvalidOption)
	}
	_, err := aegis.NewServer(conn, aegis.WithHeartbeat(time.Second), aegis.WithRegistryBucket(aegis.BucketConfig{Replicas: 3, NoCreate: true}))
	require.NoError(t, err)
}

// A program that looks once has the reports without waiting for a heartbeat.
func TestAskedInstancesSayHowTheyDo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, name := range []string{"one", "two"} {
		serve(t, another(t, conn), probe{}, aegis.WithInstance(name), aegis.WithHeartbeat(time.Minute))
	}
	looking := another(t, conn)
	_, err := newClient(t, looking).Do(t.Context(), doRequest(""), aegis.ToInstance("two"))
	require.NoError(t, err)
	quiet, err := looking.Instances(t.Context(), probeName)
	require.NoError(t, err)
	require.Len(t, quiet, 2)
	_, heard := quiet[0].Health()
	require.False(t, heard, "no heartbeat has come")

	require.EventuallyWithT(t, func(t *assert.CollectT) { // a call is counted after its reply
		instances, err := looking.AskInstances(context.Background(), probeName)
		require.NoError(t, err)
		require.Len(t, instances, 2)
		requests := make(map[string]uint64)
		for _, i := range instances {
			report, ok := i.Health()
			require.True(t, ok)
			require.False(t, i.Heard.IsZero())
			requests[i.Name] = report.Requests
		}
		require.Equal(t, map[string]uint64{"one": 0, "two": 1}, requests)
	}, patience, time.Millisecond)

	one, err := looking.AskInstances(t.Context(), probeName, "one", "three")
	require.NoError(t, err)
	require.Len(t, one, 1)
	require.Equal(t, "one", one[0].Name)
}
