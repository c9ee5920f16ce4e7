package kubetest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
	"github.com/aegisrpc/aegis/runtime/aegiskube"
)

// guarded runs a NATS server behind a pod that lets in only who has the credentials.
func (w *world) guarded(pod, config string) {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "nats.conf")
	require.NoError(w.t, os.WriteFile(path, []byte("authorization { "+config+" }\n"), 0o600))
	s, err := embednats.Start(embednats.Options{Config: path})
	require.NoError(w.t, err)
	w.t.Cleanup(s.Stop)
	w.PutPod("shop", pod, s.Addr().String())
	w.pods(pod)
}

func TestCredentialsComeFromASecret(t *testing.T) {
	pair, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err := pair.Seed()
	require.NoError(t, err)
	public, err := pair.PublicKey()
	require.NoError(t, err)
	for name, is := range map[string]struct {
		config string
		secret string
		data   map[string]string
	}{
		"user and password": {`user: bob, password: "s3cr3t"`, "nats", map[string]string{"username": "bob", "password": "s3cr3t"}},
		"token":             {`token: "t0k3n"`, "nats", map[string]string{"token": "t0k3n\n"}},
		"token under a key": {`token: "t0k3n"`, "nats/orders", map[string]string{"orders": "t0k3n", "token": "other"}},
		"nkey":              {`users: [ { nkey: ` + public + ` } ]`, "nats", map[string]string{"user.nk": string(seed)}},
		"nkey under a key":  {`users: [ { nkey: ` + public + ` } ]`, "nats/orders", map[string]string{"orders": string(seed) + "\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.guarded("nats-0", is.config)
			s := w.settings()
			require.ErrorContains(t, w.refusal(s), "Authorization Violation")
			data := map[string][]byte{}
			for key, value := range is.data {
				data[key] = []byte(value)
			}
			w.PutSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nats"}, Data: data})
			s.Secret = is.secret
			require.True(t, w.connect(s).NATS().IsConnected())
		})
	}
}

// proxy opens the way to NATS, and a proxy to it.
func (w *world) proxy() (*aegiskube.Forward, *aegiskube.Proxy) {
	w.t.Helper()
	f, err := aegiskube.Open(w.t.Context(), w.settings())
	require.NoError(w.t, err)
	w.t.Cleanup(f.Close)
	p, err := f.Listen(w.t.Context())
	require.NoError(w.t, err)
	return f, p
}

// Programs that do not import the package go through the proxy.
func TestOtherProgramsGoThroughTheProxy(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	f, p := w.proxy()
	conn, err := aegisenv.Settings{URL: f.URL(), SOCKSProxy: p.URL()}.Connect(t.Context(), aegis.WithLogger(silent()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	require.NoError(t, call(t, conn))
	p.Close()
	require.NoError(t, call(t, conn), "who is connected stays so")
	_, err = aegisenv.Settings{URL: f.URL(), SOCKSProxy: p.URL()}.Connect(t.Context(), aegis.WithLogger(silent()))
	require.Error(t, err)
}

func TestTheProxyWantsItsPassword(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	f, p := w.proxy()
	for _, url := range []string{"socks5://" + p.Addr().String(), "socks5://aegis:wrong@" + p.Addr().String()} {
		_, err := aegisenv.Settings{URL: f.URL(), SOCKSProxy: url}.Connect(t.Context(), aegis.WithLogger(silent()))
		require.Error(t, err)
	}
	require.Zero(t, w.Forwards("WebSocket"))
}
