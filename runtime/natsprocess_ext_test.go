//go:build unix

package aegis_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	helperConfig = "AEGIS_TEST_NATS_CONFIG"
	helperStore  = "AEGIS_TEST_NATS_STORE"
)

// helperNATS is a NATS server in a process of its own, which can be frozen.
func helperNATS(ctx context.Context) int {
	u, err := url.Parse(os.Getenv(helperURL))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := embednats.Start(embednats.Options{Port: port, Config: os.Getenv(helperConfig), StoreDir: os.Getenv(helperStore)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("running")
	<-ctx.Done()
	s.Stop()
	return 0
}

// natsProcesses are NATS servers that form a cluster: n1, n2, ... Each has a tag
// that is its name, for the placement of streams.
type natsProcesses struct {
	t         *testing.T
	urls      []string
	processes []*process
}

func startNATSProcesses(t *testing.T, size int) *natsProcesses {
	t.Helper()
	free := func() string {
		l, err := embednats.Listen()
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }() // for the server; nobody else has asked for it
		return l.Addr().String()
	}
	c := &natsProcesses{t: t}
	var listen, routes []string
	for range size {
		c.urls = append(c.urls, "nats://"+free())
		listen = append(listen, free())
		routes = append(routes, "nats-route://"+listen[len(listen)-1])
	}
	dir := t.TempDir()
	for i := range size {
		name := "n" + strconv.Itoa(i+1)
		path := filepath.Join(dir, name+".conf")
		config := fmt.Sprintf("server_name: %s\nserver_tags: [%s]\ncluster {name: test, listen: %q, no_advertise: true, routes: [%s]}\n",
			name, name, listen[i], strings.Join(routes, ", "))
		require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
		c.processes = append(c.processes, startProcess(t, "nats", c.urls[i], name, helperConfig+"="+path, helperStore+"="+filepath.Join(dir, name)))
	}
	return c
}

// connect returns a connection to the first server, with JetStream there.
func (c *natsProcesses) connect() *aegis.Conn {
	c.t.Helper()
	conn := connectTo(c.t, c.urls[0])
	js := jetStream(c.t, conn)
	c.eventually("JetStream answers", func(ctx context.Context) bool {
		_, err := js.AccountInfo(ctx)
		return err == nil
	})
	return conn
}

func (c *natsProcesses) eventually(what string, is func(context.Context) bool) {
	c.t.Helper()
	for deadline := time.Now().Add(clusterPatience); ; time.Sleep(20 * time.Millisecond) {
		asking, cancel := context.WithTimeout(c.t.Context(), 2*time.Second)
		ok := is(asking)
		cancel()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("after %v it is still not so: %s", clusterPatience, what)
		}
	}
}

// make makes a stream, and has the first server lead it.
func (c *natsProcesses) make(js jetstream.JetStream, cfg jetstream.StreamConfig) {
	c.t.Helper()
	cfg.Placement = &jetstream.Placement{}
	if cfg.Replicas == 1 {
		cfg.Placement.Tags = []string{"n1"}
	}
	c.eventually(cfg.Name+" is made", func(ctx context.Context) bool {
		_, err := js.CreateOrUpdateStream(ctx, cfg)
		return err == nil
	})
	c.eventually("n1 leads "+cfg.Name+", and the others are current", func(ctx context.Context) bool {
		stream, err := js.Stream(ctx, cfg.Name)
		if err != nil {
			return false
		}
		info := stream.CachedInfo().Cluster
		for _, r := range info.Replicas {
			if !r.Current || r.Offline {
				return false
			}
		}
		if info.Leader != "n1" {
			_, _ = js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+cfg.Name, []byte(`{"placement":{"preferred":"n1"}}`))
			return false
		}
		return len(info.Replicas) == cfg.Replicas-1
	})
}

// freeze stops all servers but the first, and thaw has them go on.
func (c *natsProcesses) freeze() {
	c.t.Helper()
	for _, p := range c.processes[1:] {
		p.freeze(c.t)
	}
}

func (c *natsProcesses) thaw() {
	c.t.Helper()
	for _, p := range c.processes[1:] {
		p.signal(c.t, syscall.SIGCONT)
	}
}
