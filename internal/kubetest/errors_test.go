package kubetest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	aegis "github.com/aegisrpc/aegis/runtime"

	"github.com/aegisrpc/aegis/internal/kubetest/apiserver"
	"github.com/aegisrpc/aegis/runtime/aegiskube"
)

// refusal connects, and returns the error.
func (w *world) refusal(s aegiskube.Settings) error {
	w.t.Helper()
	_, err := aegiskube.Connect(w.t.Context(), s, aegis.WithLogger(silent()))
	require.Error(w.t, err)
	return err
}

func TestErrorsSayWhatIsMissing(t *testing.T) {
	for name, is := range map[string]struct {
		spoil func(w *world, s *aegiskube.Settings)
		kind  error
		says  []string
	}{
		"no kubeconfig": {
			func(_ *world, s *aegiskube.Settings) { s.Kubeconfig = filepath.Join(os.TempDir(), "no-such-file") },
			aegiskube.ErrNoCluster,
			[]string{"no-such-file"},
		},
		"a kubeconfig that is none": {
			func(w *world, s *aegiskube.Settings) {
				s.Kubeconfig = filepath.Join(w.t.TempDir(), "config")
				require.NoError(w.t, os.WriteFile(s.Kubeconfig, []byte("{"), 0o600))
			},
			aegiskube.ErrNoCluster,
			[]string{"cannot be read"},
		},
		"an empty kubeconfig": {
			func(w *world, s *aegiskube.Settings) {
				s.Kubeconfig = filepath.Join(w.t.TempDir(), "config")
				require.NoError(w.t, os.WriteFile(s.Kubeconfig, nil, 0o600))
			},
			aegiskube.ErrNoCluster,
			[]string{"there is no kubeconfig with a context at", "set KUBECONFIG, or log in"},
		},
		"no such context": {
			func(_ *world, s *aegiskube.Settings) { s.Context = "production" },
			aegiskube.ErrNoCluster,
			[]string{`no context "production"; it has: test`},
		},
		"an expired token": {
			func(w *world, _ *aegiskube.Settings) { w.PutUser("secret", nil) },
			aegiskube.ErrUnauthorized,
			[]string{"the context test", "does not know the user developer", "log in to the cluster again"},
		},
		"may not list services": {
			func(w *world, _ *aegiskube.Settings) { w.deny("list services") },
			aegiskube.ErrDenied,
			[]string{"developer", "may not list services in the namespace shop", `"anna" cannot list resource "services"`},
		},
		"may not get a service": {
			func(w *world, s *aegiskube.Settings) { w.deny("get services"); s.Service = "nats" },
			aegiskube.ErrDenied,
			[]string{"may not get services in the namespace shop"},
		},
		"may not list pods": {
			func(w *world, _ *aegiskube.Settings) { w.deny("list endpointslices") },
			aegiskube.ErrDenied,
			[]string{"may not list endpointslices in the namespace shop"},
		},
		"may not forward": {
			func(w *world, _ *aegiskube.Settings) { w.deny("create pods/portforward") },
			aegiskube.ErrDenied,
			[]string{"may not create pods/portforward in the namespace shop"},
		},
		"may not read secrets": {
			func(w *world, s *aegiskube.Settings) { w.deny("get secrets"); s.Secret = "orders" },
			aegiskube.ErrDenied,
			[]string{"may not get secrets in the namespace shop"},
		},
		"no such secret": {
			func(_ *world, s *aegiskube.Settings) { s.Secret = "orders" },
			aegiskube.ErrNoService,
			[]string{"no Secret orders in the namespace shop"},
		},
		"a secret without credentials": {
			func(w *world, s *aegiskube.Settings) { w.secret("orders", "tls.crt", "x"); s.Secret = "orders" },
			aegiskube.ErrNoService,
			[]string{"no credentials of NATS under one of nats.creds", "its keys are: tls.crt"},
		},
		"a secret without that key": {
			func(w *world, s *aegiskube.Settings) { w.secret("orders", "a", "x"); s.Secret = "orders/b" },
			aegiskube.ErrNoService,
			[]string{"under the key b", "its keys are: a"},
		},
		"no such service": {
			func(_ *world, s *aegiskube.Settings) { s.Service = "queue" },
			aegiskube.ErrNoService,
			[]string{"no service queue in the namespace shop"},
		},
		"nothing of NATS": {
			func(_ *world, s *aegiskube.Settings) { s.Namespace = "empty" },
			aegiskube.ErrNoService,
			[]string{"no service in the namespace empty", "app.kubernetes.io/name: nats"},
		},
		"several services of NATS": {
			func(w *world, _ *aegiskube.Settings) { w.service("nats-b", nil, 4222); w.service("nats-a", nil, 4222) },
			aegiskube.ErrNoService,
			[]string{"several services", "nats, nats-a, nats-b"},
		},
		"a service without the port": {
			func(w *world, s *aegiskube.Settings) { w.service("web", nil, 80, 443); s.Service = "web" },
			aegiskube.ErrNoService,
			[]string{"the service web", "no port that is named nats or client, or is 4222"},
		},
		"no pod is ready": {
			func(w *world, _ *aegiskube.Settings) { w.pods() },
			aegiskube.ErrNoService,
			[]string{"the service nats in the namespace shop has no pod that is ready"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.nats("nats-0")
			w.pods("nats-0")
			s := w.settings()
			is.spoil(w, &s)
			err := w.refusal(s)
			require.ErrorIs(t, err, is.kind, err.Error())
			for _, text := range is.says {
				assert.Contains(t, err.Error(), text)
			}
		})
	}
}

func TestAnAPIServerThatIsNotThereIsAnErrorInTime(t *testing.T) {
	w := newWorld(t)
	w.Close()
	s := w.settings()
	s.Timeout = time.Second
	require.ErrorContains(t, w.refusal(s), "the context test")
}

// deny takes a right from the user.
func (w *world) deny(right string) {
	w.PutUser("secret", &apiserver.User{Name: "anna", Denied: []string{right}})
}

func (w *world) secret(name, key, value string) {
	w.PutSecret(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{key: []byte(value)}})
}

// service adds a service that is labelled as NATS's are, and has ports without names.
func (w *world) service(name string, annotations map[string]string, ports ...int32) {
	one := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, Annotations: annotations, Labels: map[string]string{"app.kubernetes.io/name": "nats"},
	}}
	for _, p := range ports {
		one.Spec.Ports = append(one.Spec.Ports, corev1.ServicePort{Port: p})
	}
	w.PutService(one)
}

func TestTheServiceOfNATSIsFound(t *testing.T) {
	for name, is := range map[string]struct {
		add  func(w *world)
		want string
	}{
		"the labelled one": {func(*world) {}, "nats"},
		"the marked one goes first": {func(w *world) {
			w.service("marked", map[string]string{"aegisrpc.github.io/nats": "true"}, 4222)
		}, "marked"},
		"headless ones are left out": {func(w *world) {
			w.PutService(&corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nats-headless", Labels: map[string]string{"app.kubernetes.io/name": "nats"}},
				Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "nats", Port: 4222}}},
			})
		}, "nats"},
		"those without a port are left out": {func(w *world) { w.service("box", nil, 80, 81) }, "nats"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			is.add(w)
			f, err := aegiskube.Open(t.Context(), w.settings())
			require.NoError(t, err)
			defer f.Close()
			require.Equal(t, "nats://"+is.want+".shop.svc:4222", f.URL())
			require.Contains(t, f.String(), "shop/"+is.want)
		})
	}
}
