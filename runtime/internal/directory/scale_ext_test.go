//go:build unix

package directory_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/leaktest"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/directory"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/regstore"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	services     = 100
	perService   = 100
	allInstances = services * perService

	// patience is for a machine that is busy.
	patience = time.Minute

	// helperEnv makes this test binary the watcher whose costs are measured: in a
	// process of its own, without the NATS server and the simulated instances.
	helperEnv = "AEGIS_SCALE_URL"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(helperEnv); url != "" {
		if err := measure(url); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Run(m)
}

// costs are what a watcher needs.
type costs struct {
	OneReady, AllReady time.Duration
	HeapMB             float64
	CPU                float64 // share of a core
	Instances          int
}

func measure(url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	b, err := bus.New(nc, nil, false)
	if err != nil {
		return err
	}
	js, err := stores.New(b, "", "")
	if err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := directory.New(directory.Options{NATS: nc, Link: link.New(nc), JetStream: js, Namespace: "aegis", Logger: slog.Default()})
	defer d.Close()
	var c costs
	start := time.Now()
	if _, err := d.View(context.Background(), serviceName(7)); err != nil {
		return err
	}
	c.OneReady = time.Since(start)
	start = time.Now()
	all, err := d.View(context.Background(), "")
	if err != nil {
		return err
	}
	c.AllReady = time.Since(start)
	const window = 8 * time.Second
	cpu := cpuTime()
	<-time.After(window)
	c.CPU = float64(cpuTime()-cpu) / float64(window)
	runtime.GC()
	runtime.ReadMemStats(&after)
	c.HeapMB = float64(after.HeapAlloc-before.HeapAlloc) / (1 << 20)
	// Where the machine had no time for the heartbeats, some have expired, and come back.
	for until := time.Now().Add(patience); len(all.Instances()) < allInstances && time.Now().Before(until); {
		<-time.After(10 * time.Millisecond)
	}
	c.Instances = len(all.Instances())
	return json.NewEncoder(os.Stdout).Encode(c)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func serviceName(i int) string { return fmt.Sprintf("scale.v1.Service%03d", i) }

func simulated(i int) *registry.Record {
	return &registry.Record{
		Service: serviceName(i % services), Instance: fmt.Sprintf("host-%05d-ABCDEF", i),
		Process: fmt.Sprintf("%026d", i), Incarnation: uint64(1_700_000_000_000_000 + i), Change: 2, State: registry.Running,
		Version: "1.4.0", Started: time.Unix(1_700_000_000, 0), Heartbeat: 2 * time.Second,
	}
}

// simulate registers all instances, and returns a function that keeps their
// heartbeats coming until it is stopped.
func simulate(t testing.TB, url string) (beat func(ctx context.Context)) {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	b, err := bus.New(nc, nil, false)
	require.NoError(t, err)
	api, err := stores.New(b, "", "")
	require.NoError(t, err)
	bucket := regstore.New(regstore.Options{NATS: nc, JetStream: api, Namespace: "aegis"})
	created, err := bucket.Open(t.Context())
	require.NoError(t, err)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(512))
	require.NoError(t, err)
	beats := make([]nats.Msg, allInstances)
	// A snapshot of the size that some methods' numbers take.
	metrics, err := json.Marshal(map[string]string{"data": strings.Repeat("m", 500)})
	require.NoError(t, err)
	for i := range allInstances {
		r := simulated(i)
		data, err := r.Encode()
		require.NoError(t, err)
		_, err = js.PublishAsync("$KV.aegis-registry."+wire.RegistryKey(r.Service, r.Instance), data)
		require.NoError(t, err)
		beats[i].Subject = wire.NewSubjects("aegis").Beat(r.Service, r.Instance)
		beats[i].Data, err = (&registry.Beat{Record: r, Bucket: created, Metrics: metrics}).Encode()
		require.NoError(t, err)
	}
	<-js.PublishAsyncComplete()
	return func(ctx context.Context) {
		// 50 times a second a hundredth of them: each once in 2 s.
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			for range allInstances / 100 {
				_ = nc.PublishMsg(&beats[i%allInstances])
				i++
			}
		}
	}
}

// The figures that are promised for 10,000 instances of 100 services.
func TestTenThousandInstances(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	s, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	beat := simulate(t, s.ClientURL())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); beat(ctx) }()
	defer func() { cancel(); <-done }()

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+s.ClientURL())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, string(out))
	var c costs
	require.NoError(t, json.NewDecoder(bufio.NewReader(strings.NewReader(string(out)))).Decode(&c), string(out))
	t.Logf("one service ready after %v, all after %v, %.1f MB, %.1f %% of a core", c.OneReady, c.AllReady, c.HeapMB, 100*c.CPU)
	require.Equal(t, allInstances, c.Instances)
	require.Less(t, c.HeapMB, 60.0)
}

func BenchmarkViewReady(b *testing.B) {
	s, err := embednats.Start(embednats.Options{StoreDir: b.TempDir()})
	require.NoError(b, err)
	defer s.Stop()
	simulate(b, s.ClientURL())
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(b, err)
	defer nc.Close()
	conn, err := bus.New(nc, nil, false)
	require.NoError(b, err)
	js, err := stores.New(conn, "", "")
	require.NoError(b, err)
	for name, service := range map[string]string{"one of 100 services": serviceName(7), "all 10,000 instances": ""} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				d := directory.New(directory.Options{NATS: nc, Link: link.New(nc), JetStream: js, Namespace: "aegis", Logger: slog.New(slog.DiscardHandler)})
				_, err := d.View(b.Context(), service)
				require.NoError(b, err)
				d.Close()
			}
		})
	}
}

func BenchmarkDecodeBeat(b *testing.B) {
	metrics, err := json.Marshal(map[string]string{"data": strings.Repeat("m", 500)})
	require.NoError(b, err)
	r := simulated(1)
	data, err := (&registry.Beat{Record: r, Bucket: 1, Metrics: metrics}).Encode()
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.DecodeBeat(r.Service, r.Instance, data); err != nil {
			b.Fatal(err)
		}
	}
}
