package kubetest_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/kubetest/apiserver"
)

func TestCallsReachTheClusterByWebSocket(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	begun := time.Now()
	conn := w.connect(w.settings())
	t.Logf("connected after %v", time.Since(begun))
	require.NoError(t, call(t, conn))
	require.Equal(t, []int{1, 0}, []int{w.Forwards("WebSocket"), w.Forwards("SPDY")})
}

func TestCallsReachAnOldClusterBySPDY(t *testing.T) {
	w := newWorld(t)
	w.WithoutWebSockets()
	w.nats("nats-0")
	w.pods("nats-0")
	conn := w.connect(w.settings())
	require.NoError(t, call(t, conn))
	require.Equal(t, []int{0, 1}, []int{w.Forwards("WebSocket"), w.Forwards("SPDY")})
}

// NATS moves to another pod, as in an upgrade: whether connections to the old one end, or
// nobody hears of it any more.
func TestCallsGoOnWhenThePodMoves(t *testing.T) {
	for name, closes := range map[string]bool{"connections end": true, "the node is lost": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.nats("nats-0")
			w.pods("nats-0")
			conn := w.connect(w.settings())
			require.NoError(t, call(t, conn))
			w.pods()
			w.RemovePod("shop", "nats-0", closes)
			eventually(t, "the connection is lost", func() bool { return !conn.NATS().IsConnected() })
			w.PutPod("shop", "nats-1", s.Addr().String())
			w.pods("nats-1")
			begun := time.Now()
			eventually(t, "calls work again", func() bool { return call(t, conn) == nil })
			t.Logf("calls work %v after the new pod is ready", time.Since(begun))
		})
	}
}

func TestWhatNATSTellsItsClientsLeadsThroughTheCluster(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0", "nats-1")
	w.nats("nats-1")
	conn := w.connect(w.settings())
	require.NoError(t, call(t, conn))
	require.Equal(t, "nats://nats.shop.svc:4222", conn.NATS().ConnectedUrl())
}

// log is a log that tests read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func TestATokenThatExpiresIsReadAnew(t *testing.T) {
	w := newWorld(t)
	s := w.nats("nats-0")
	w.pods("nats-0")
	var l log
	settings := w.settings()
	settings.Logger = slog.New(slog.NewTextHandler(&l, nil))
	conn := w.connect(settings)
	w.PutUser("secret", nil)
	require.NoError(t, call(t, conn), "a connection that is open goes on")
	w.RemovePod("shop", "nats-0", true)
	w.PutPod("shop", "nats-1", s.Addr().String())
	w.pods("nats-1")
	eventually(t, "the log says why", func() bool { return l.has("does not know the user developer") && l.has("log in to the cluster again") })
	require.Error(t, call(t, conn))

	w.PutUser("newer", &apiserver.User{Name: "anna"})
	text, err := w.Kubeconfig("newer", "shop")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.kubeconfig, text, 0o600))
	eventually(t, "calls work again", func() bool { return call(t, conn) == nil })
	eventually(t, "the log says so", func() bool { return l.has("reached again") })
}
