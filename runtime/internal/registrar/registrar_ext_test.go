package registrar_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
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
	"github.com/aegisrpc/aegis/runtime/internal/registrar"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	service  = "test.v1.Service"
	beat     = 200 * time.Millisecond
	patience = 15 * time.Second
)

func TestMain(m *testing.M) { leaktest.Run(m) }

func startNATS(t *testing.T) *embednats.Server {
	t.Helper()
	s, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, s *embednats.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// linkOf follows a connection until the test ends.
func linkOf(t *testing.T, nc *nats.Conn) *link.Link {
	t.Helper()
	l := link.New(nc)
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { l.Watch(ctx, func(link.State) {}) })
	t.Cleanup(func() { cancel(); watching.Wait() })
	return l
}

// instance is a registrar, with what a server has besides.
type instance struct {
	*registrar.Registrar
	nc    *nats.Conn
	taken chan error
	log   *log
}

type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func newInstance(t *testing.T, nc *nats.Conn, name, process string, live bool) *instance {
	t.Helper()
	i := &instance{nc: nc, taken: make(chan error, 1), log: &log{}}
	b, err := bus.New(nc, nil, false)
	require.NoError(t, err)
	js, err := stores.New(b, "", "")
	require.NoError(t, err)
	i.Registrar = registrar.New(registrar.Options{
		NATS: nc, Link: linkOf(t, nc), JetStream: js, Namespace: "aegis", Process: process, Instance: name, Logger: slog.New(slog.NewTextHandler(i.log, nil)),
		Heartbeat: beat, Rewrite: 100 * time.Millisecond,
		Metrics: func(string) json.RawMessage { return json.RawMessage(`{"of":"` + process + `"}`) },
		Taken:   func(err error) { i.taken <- err },
	})
	i.Add(registrar.Service{Name: service, Version: "1.0.0"})
	if live {
		_, err = nc.Subscribe(wire.NewSubjects("aegis").Live(process), func(m *nats.Msg) { _ = m.Respond([]byte("here")) })
		require.NoError(t, err)
	}
	t.Cleanup(func() { i.Stop(context.Background()) })
	return i
}

func running(t *testing.T, nc *nats.Conn, name, process string, live bool) *instance {
	t.Helper()
	i := newInstance(t, nc, name, process, live)
	require.NoError(t, i.Claim(t.Context()))
	i.Start()
	i.SetState(registry.Running)
	return i
}

// record reads the record in the bucket, nil for none.
func record(t *testing.T, nc *nats.Conn, name string) *registry.Record {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), "aegis-registry")
	if err != nil {
		return nil
	}
	e, err := kv.Get(t.Context(), wire.RegistryKey(service, name))
	if err != nil {
		return nil
	}
	r, err := registry.Decode(service, name, e.Value())
	require.NoError(t, err)
	return r
}

// watch returns the changes that a watcher sees, as text.
func watch(t *testing.T, nc *nats.Conn) (next func() string, view *directory.View) {
	t.Helper()
	b, err := bus.New(nc, nil, false)
	require.NoError(t, err)
	js, err := stores.New(b, "", "")
	require.NoError(t, err)
	d := directory.New(directory.Options{NATS: nc, Link: linkOf(t, nc), JetStream: js, Namespace: "aegis", Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(d.Close)
	view, err = d.View(t.Context(), service)
	require.NoError(t, err)
	w := view.Watch()
	return func() string {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, ok := w.Next(ctx)
		require.True(t, ok, "no change came")
		return c.Record.Instance + " " + c.Kind.String() + " " + string(c.Record.State)
	}, view
}

func deleteBucket(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	require.NoError(t, js.DeleteKeyValue(t.Context(), "aegis-registry"))
}

func TestARecordFollowsTheInstance(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	nc := connect(t, s)
	a := running(t, connect(t, s), "a", "P1", true)
	next, view := watch(t, nc)
	first := next()
	require.Contains(t, []string{"a joined STARTING", "a joined RUNNING"}, first)
	eventually(t, "it runs", func() bool { r := record(t, nc, "a"); return r != nil && r.State == registry.Running })
	if first == "a joined STARTING" {
		require.Equal(t, "a state changed RUNNING", next())
	}
	a.SetLead(service, registry.Lead{Group: "g", Term: 5, Since: time.Now()})
	require.Equal(t, "a leads RUNNING", next())
	a.SetLead("another.Service", registry.Lead{Group: "g", Term: 6})
	a.ClearLead(service, "g", 4) // an older term
	eventually(t, "the lead is stored", func() bool { return len(record(t, nc, "a").Leads) == 1 })
	a.ClearLead(service, "g", 5)
	require.Equal(t, "a no longer leads RUNNING", next())
	eventually(t, "the metrics are there", func() bool {
		all := view.Instances()
		return len(all) == 1 && string(all[0].Metrics) == `{"of":"P1"}`
	})
	a.Stop(t.Context())
	require.Equal(t, "a left RUNNING", next())
	require.Nil(t, record(t, nc, "a"))
	require.Zero(t, a.log.count("WARN"))
}

func TestADeletedBucketIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	nc := connect(t, s)
	a, b := running(t, connect(t, s), "a", "P1", true), running(t, connect(t, s), "b", "P2", true)
	eventually(t, "both run", func() bool {
		ra, rb := record(t, nc, "a"), record(t, nc, "b")
		return ra != nil && rb != nil && ra.State == registry.Running && rb.State == registry.Running
	})
	next, _ := watch(t, nc)
	require.ElementsMatch(t, []string{"a joined RUNNING", "b joined RUNNING"}, []string{next(), next()})
	for range 3 {
		deleteBucket(t, nc)
		eventually(t, "both are registered", func() bool { return record(t, nc, "a") != nil && record(t, nc, "b") != nil })
	}
	fresh, _ := watch(t, connect(t, s))
	require.ElementsMatch(t, []string{"a joined RUNNING", "b joined RUNNING"}, []string{fresh(), fresh()})
	// Watchers have seen none of that, and follow the new bucket.
	a.Stop(t.Context())
	require.Equal(t, "a left RUNNING", next())
	require.Equal(t, "a left RUNNING", fresh())
	require.Zero(t, a.log.count("WARN")+b.log.count("WARN"))
}

func TestADeletedKeyComesBack(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	nc := connect(t, s)
	a := running(t, connect(t, s), "a", "P1", true)
	next, _ := watch(t, nc)
	require.Contains(t, next(), "a joined")
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	kv, err := js.KeyValue(t.Context(), "aegis-registry")
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, kv.Purge(t.Context(), wire.RegistryKey(service, "a")))
		eventually(t, "it is registered", func() bool { return record(t, nc, "a") != nil })
	}
	a.SetState(registry.Stopping)
	for c := next(); c != "a state changed STOPPING"; c = next() {
		require.Equal(t, "a state changed RUNNING", c)
	}
}

// A name is lost when nobody listens where the process would.
func TestALostNameIsNoticed(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	nc := connect(t, s)
	a := running(t, connect(t, s), "a", "P1", false)
	b := running(t, connect(t, s), "a", "P2", true)
	select {
	case err := <-a.taken:
		require.ErrorIs(t, err, registrar.ErrNameTaken)
		require.ErrorContains(t, err, "P2")
	case <-time.After(patience):
		t.Fatal("the first one has not noticed")
	}
	a.Stop(t.Context())
	r := record(t, nc, "a")
	require.Equal(t, "P2", r.Process)
	require.Equal(t, 1, b.log.count("taking over"))
	_, view := watch(t, nc)
	eventually(t, "the second one is seen", func() bool {
		all := view.Instances()
		return len(all) == 1 && all[0].Record.Process == "P2"
	})
	select {
	case err := <-b.taken:
		t.Fatal(err)
	default:
	}
}

func TestOfTwoAtOnceOneGetsTheName(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	for n := range 10 {
		var claims sync.WaitGroup
		errs := make([]error, 2)
		instances := make([]*instance, 2)
		for i := range 2 {
			instances[i] = newInstance(t, connect(t, s), "same", fmt.Sprintf("P%d-%d", n, i), true)
			require.NoError(t, instances[i].nc.Flush())
		}
		for i := range 2 {
			claims.Go(func() { errs[i] = instances[i].Claim(t.Context()) })
		}
		claims.Wait()
		if errs[0] == nil {
			errs[0], errs[1] = errs[1], errs[0]
		}
		require.NoError(t, errs[1])
		require.ErrorIs(t, errs[0], registrar.ErrNameTaken)
		for _, i := range instances {
			i.Stop(t.Context())
		}
		require.Nil(t, record(t, connect(t, s), "same"))
	}
}

// One that is not answered for, but heard, has the name.
func TestAHeartbeatHoldsTheName(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	first := connect(t, s)
	running(t, first, "a", "P1", false)
	// It takes questions and does not answer, as a process that hangs.
	_, err := first.Subscribe(wire.NewSubjects("aegis").Live("P1"), func(*nats.Msg) {})
	require.NoError(t, err)
	require.NoError(t, first.Flush())
	second := newInstance(t, connect(t, s), "a", "P2", true)
	err = second.Claim(t.Context())
	require.ErrorIs(t, err, registrar.ErrNameTaken)
	require.ErrorContains(t, err, "was just heard")
}

func TestAClaimEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	first := connect(t, s)
	a := newInstance(t, first, "a", "P1", false)
	require.NoError(t, a.Claim(t.Context())) // and is never heard
	_, err := first.Subscribe(wire.NewSubjects("aegis").Live("P1"), func(*nats.Msg) {})
	require.NoError(t, err)
	require.NoError(t, first.Flush())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, newInstance(t, connect(t, s), "a", "P2", true).Claim(ctx), context.DeadlineExceeded)
}

func TestJetStreamThatComesLater(t *testing.T) {
	t.Parallel()
	s, err := embednats.Start(embednats.Options{})
	require.NoError(t, err)
	nc := connect(t, s)
	a := running(t, nc, "a", "P1", true)
	require.Equal(t, 1, a.log.count("cannot be registered"))
	u, err := url.Parse(s.ClientURL())
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	s.Stop()
	dir := t.TempDir()
	eventually(t, "NATS is back", func() bool {
		s, err = embednats.Start(embednats.Options{Port: port, StoreDir: dir})
		return err == nil
	})
	t.Cleanup(s.Stop)
	eventually(t, "it is registered", func() bool { return nc.IsConnected() && record(t, nc, "a") != nil })
	eventually(t, "it says so", func() bool { return a.log.count("this instance is registered") == 1 })
	require.Equal(t, 1, a.log.count("cannot be registered"))
}

func TestAStopDuringAnOutageIsQuick(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	nc := connect(t, s)
	a := running(t, nc, "a", "P1", true)
	s.Stop()
	eventually(t, "the outage is noticed", func() bool { return !nc.IsConnected() })
	start := time.Now()
	a.Stop(t.Context())
	require.Less(t, time.Since(start), 3*time.Second)
}
