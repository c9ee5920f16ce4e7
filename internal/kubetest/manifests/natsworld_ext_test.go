package manifests_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/armon/go-socks5"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/kubetest/natschart"
)

// cluster is the NATS of a namespace, which programs find as nats:4222.
type cluster struct {
	nats    string // its address
	secrets map[string]map[string][]byte
	proxy   string // its address; nothing else knows where nats is
}

// startProduction starts the three servers of values.yaml.
func startProduction(t *testing.T) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	probes := natschart.Probes{Period: 50 * time.Millisecond}
	nats, err := natschart.Start(ctx, natschart.Options{Values: kubernetes + "/nats", Dir: t.TempDir(), Probes: probes})
	require.NoError(t, err)
	t.Cleanup(nats.Stop)
	c := &cluster{nats: nats.Address(), secrets: nats.Secrets}
	c.secrets["monitor-token"] = map[string][]byte{"token": []byte("t0ken")}
	c.listen(t)
	return c
}

// startDevelopment starts the server of the overlay development.
func startDevelopment(t *testing.T, conf string) *cluster {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	conf = strings.NewReplacer("/data", t.TempDir(), "http_port: 8222", "").Replace(conf)
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	s, err := embednats.Start(embednats.Options{Config: path})
	require.NoError(t, err, conf)
	t.Cleanup(s.Stop)
	require.True(t, s.JetStreamConfig().SyncAlways)
	c := &cluster{nats: s.Addr().String()}
	c.listen(t)
	return c
}

// Resolve has the one name that there is in the namespace.
func (c *cluster) Resolve(ctx context.Context, name string) (context.Context, net.IP, error) {
	if name != "nats" {
		return ctx, nil, fmt.Errorf("no such host: %s", name)
	}
	return ctx, net.IPv4(127, 0, 0, 1), nil
}

// listen serves a proxy whose other end is in the namespace.
func (c *cluster) listen(t *testing.T) {
	t.Helper()
	proxy, err := socks5.New(&socks5.Config{
		Resolver: c,
		Logger:   log.New(io.Discard, "", 0),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "127.0.0.1:4222" {
				return nil, fmt.Errorf("nothing listens on %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, c.nats)
		},
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = proxy.Serve(l) }() // until it is closed
	c.proxy = "socks5://" + l.Addr().String()
}
