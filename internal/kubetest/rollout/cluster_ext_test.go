package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/kubetest/natschart"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// cluster is six instances under load, two on each of three nodes, and the NATS of production.
type cluster struct {
	*controller
	ctx  context.Context //nolint:containedctx // of the test
	conn *aegis.Conn
	load *load
	told map[string]*told
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), rollingIn)
	t.Cleanup(cancel)
	w := &cluster{ctx: ctx, told: map[string]*told{}}
	w.controller = &controller{kubelet: newKubelet(t, readManifest(t), startNATS(t)), replicas: instances}
	t.Cleanup(w.end)
	for i := range instances {
		w.create("old", fmt.Sprint("node-", i%3))
	}
	w.until(ctx, func() bool { return w.availablePods() == instances })
	w.conn = w.connect()
	w.listen()
	w.seed()
	w.awaitReplicas()
	w.load = startLoad(t, w.conn)
	w.leader = w.load.leader
	w.until(ctx, func() bool { return w.load.leader() != "" && w.load.commands() > 0 })
	for _, o := range w.told {
		o.resetGap()
	}
	return w
}

// startNATS starts the NATS of production. With -short it is asked more often whether it is ready, and
// closes its connections sooner when it ends.
func startNATS(t *testing.T) *natschart.Cluster {
	t.Helper()
	o := natschart.Options{Values: kubernetes + "/nats", Dir: inMemory(t), Logs: t.ArtifactDir()}
	if testing.Short() {
		o.Probes, o.LameDuckGrace = natschart.Probes{Period: 100 * time.Millisecond}, 2*time.Second
	}
	nats, err := natschart.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(nats.Stop)
	return nats
}

// inMemory returns a folder that is kept in memory, where there is one: servers of NATS that sync each
// message would wait for each other on the one disk of this machine.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rollout-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// connect connects as the user that the instances are, until the test ends.
func (w *cluster) connect() *aegis.Conn {
	user := w.nats.Secrets["nats-order"]
	conn, err := aegisenv.Settings{
		URL: "nats://" + w.nats.Address(), User: string(user["username"]), Password: string(user["password"]), TLSCA: w.nats.CA(),
	}.Connect(w.ctx, aegis.WithReplicas(len(w.nats.Servers)))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, conn.Close(context.Background())) })
	return conn
}

// listen subscribes to the events: two who share them, and two who have all of them.
func (w *cluster) listen() {
	risk := newTold()
	w.told["risk"] = risk
	for _, name := range []string{"risk-1", "risk-2"} {
		w.subscribe(name, risk, aegis.Compete("risk"))
	}
	for _, name := range []string{"monitor-1", "monitor-2"} {
		w.told[name] = newTold()
		w.subscribe(name, w.told[name], aegis.EachInstance())
	}
}

func (w *cluster) subscribe(name string, into *told, share aegis.SubscribeOption) {
	aegistest.Serve(w.t, w.connect(), func(srv *aegis.Server) error {
		return orderv1aegis.SubscribeOrderServiceEvents(srv, orderv1aegis.OrderServiceEvents{
			OrderPlaced: func(_ context.Context, ev *orderv1.OrderPlacedRequest) error {
				into.add(ev.GetOrder())
				return nil
			},
		}, share, aegis.StartFrom(aegis.StartAll()))
	}, aegis.WithInstance(name))
}

// seed gives the commands a book to read.
func (w *cluster) seed() {
	client, err := orderv1aegis.NewOrderServiceClient(w.conn)
	require.NoError(w.t, err)
	for i := range 50 {
		_, err := client.PlaceOrder(w.ctx, order(fmt.Sprint("seed-", i), i))
		require.NoError(w.t, err)
	}
	cmd, err := client.ReconcileBook(w.ctx, &orderv1.ReconcileBookRequest{})
	require.NoError(w.t, err)
	_, err = cmd.Result(w.ctx)
	require.NoError(w.t, err)
}

// end lets the pods that are left go, as the manifest says.
func (w *cluster) end() {
	if w.load != nil {
		w.load.stop()
		w.load.works.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	defer cancel()
	for len(w.pods) > 0 {
		w.remove(w.pods[0])
	}
	w.awaitGone(ctx, w.deleted)
}

// letters fails if a command or an event was buried.
func (w *cluster) letters() error {
	for letter, err := range w.conn.DeadLetters(w.ctx, orderv1aegis.OrderServiceName) {
		if err != nil {
			return err
		}
		return errors.New("buried: " + fmt.Sprint(letter))
	}
	return nil
}
