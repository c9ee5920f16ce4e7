package browsertest_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/procs"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// patience is how long the tests wait for anything. Nothing takes that long unless it fails.
const patience = 30 * time.Second

// mountPath is the path that the monitor is mounted under.
const mountPath = "/ops/monitor/"

// world is a NATS server, services in processes of their own, and a monitor.
type world struct {
	t       *testing.T
	options embednats.Options
	nats    *embednats.Server
	conn    *aegis.Conn // of the callers
	orders  map[string]*procs.Process
	monitor *aegismonitor.Monitor
	server  *httptest.Server
	page    string // the address of the page
}

// registryHeartbeat is how often instances that are made up say that they live.
const registryHeartbeat = 500 * time.Millisecond

// newWorld returns a NATS server with JetStream, and a monitor with these options that is
// mounted under a path.
func newWorld(t *testing.T, opts ...aegismonitor.Option) *world {
	t.Helper()
	w := &world{t: t, orders: map[string]*procs.Process{}, options: embednats.Options{StoreDir: t.TempDir()}}
	w.startNATS()
	t.Cleanup(func() { w.nats.Stop() })
	w.conn = w.connect()
	var err error
	w.monitor, err = aegismonitor.New(w.connect(), opts...)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle(mountPath, http.StripPrefix(strings.TrimSuffix(mountPath, "/"), w.monitor))
	w.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		w.monitor.Close()
		w.server.Close()
	})
	w.page = w.server.URL + mountPath
	return w
}

// startNATS starts the NATS server, with the port and the data that it had before.
func (w *world) startNATS() {
	w.t.Helper()
	require.EventuallyWithT(w.t, func(c *assert.CollectT) {
		var err error
		w.nats, err = embednats.Start(w.options)
		require.NoError(c, err)
	}, patience, 100*time.Millisecond)
	w.options.Port = w.nats.Addr().(*net.TCPAddr).Port
}

func (w *world) connect() *aegis.Conn {
	w.t.Helper()
	conn, err := aegis.Connect(w.t.Context(), w.nats.ClientURL(), aegis.WithNATSOptions(
		nats.ReconnectWait(50*time.Millisecond), nats.MaxReconnects(-1),
	))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) }) // NATS may be stopped
	return conn
}

// start starts a process in a role, which is killed at the latest when the test ends.
func (w *world) start(role, name string, args ...string) *procs.Process {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	p, err := procs.Start(name, cmd, nil)
	require.NoError(w.t, err)
	w.t.Cleanup(p.Kill)
	return p
}

// startOrders starts instances of the order service.
func (w *world) startOrders(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.orders[name] = w.start("order", name, "-nats", w.nats.ClientURL(), "-name", name)
	}
}

// leader waits until an instance of the order service leads, other than one, and returns its
// name.
func (w *world) leader(other string) (name string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		instances, err := w.conn.Instances(w.t.Context(), orderv1aegis.OrderServiceName)
		if err != nil {
			return false
		}
		for _, i := range instances {
			if len(i.Leading) > 0 && i.Name != other {
				name = i.Name
			}
		}
		return name != ""
	}, patience, 20*time.Millisecond)
	return name
}

// watched waits until the monitor has seen that an instance leads.
func (w *world) watched(instance string) {
	w.t.Helper()
	require.EventuallyWithT(w.t, func(c *assert.CollectT) {
		res, err := http.Get(w.page + "api/v1/leaders")
		require.NoError(c, err)
		defer func() { _ = res.Body.Close() }() // it was only read
		var doc monitorapi.Leaders
		require.NoError(c, json.NewDecoder(res.Body).Decode(&doc))
		require.Len(c, doc.Leaders, 1)
		require.Equal(c, instance, doc.Leaders[0].Instance)
	}, patience, 50*time.Millisecond)
}

// placeOrders calls the order service until the test ends.
func (w *world) placeOrders() {
	w.t.Helper()
	client, err := orderv1aegis.NewOrderServiceClient(w.conn)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	w.repeatEvery(20*time.Millisecond, func() {
		// Orders that fail, as while NATS is away, are shown by the page: no concern here.
		_, _ = client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{
			Id: nuid.Next(), Symbol: "AEG", Side: orderv1.Side_SIDE_BUY, Quantity: 1, PriceCents: 1,
		})
	})
	w.t.Cleanup(cancel) // before the end of the calls is waited for
}

// repeat calls functions again and again until the test ends, as often as heartbeats come.
func (w *world) repeat(functions ...func()) {
	w.t.Helper()
	w.repeatEvery(registryHeartbeat, functions...)
}

func (w *world) repeatEvery(interval time.Duration, functions ...func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for ctx.Err() == nil {
			for _, f := range functions {
				f()
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
}
