package aegiskube

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// Settings say which NATS of which cluster is meant. The zero value is the one that kubectl
// would find, in the current context.
type Settings struct {
	// Kubeconfig is a file. Default: those that KUBECONFIG names, else ~/.kube/config.
	Kubeconfig string
	// Context is a context of the kubeconfig. Default: the current one.
	Context string
	// Namespace is that of Kubernetes. Default: the context's, else "default".
	Namespace string
	// Service is the name of the service of NATS. Default: it is found.
	Service string
	// Secret is the name of a Secret with the credentials of a NATS user, and maybe the key
	// in it after a slash: a file of credentials under "nats.creds" or "user.creds", an
	// nkey's seed under "user.nk", a token under "token", or "username" and "password".
	// Default: none is read.
	Secret string
	// Timeout bounds each question to the API server, and each connection to a pod. Default
	// 5 s.
	Timeout time.Duration
	// Logger is told when the way to the cluster is lost, and found again. Default:
	// slog.Default().
	Logger *slog.Logger
}

const defaultTimeout = 5 * time.Second

func (s Settings) withDefaults() Settings {
	s.Timeout = cmp.Or(s.Timeout, defaultTimeout)
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	return s
}

// Connect opens the way to the cluster and connects over it with aegisenv.Connect: namespace
// and user come from the environment, but for what the Secret says. The way is closed with
// the connection. Errors are those of Open and of aegisenv.Connect.
func Connect(ctx context.Context, s Settings, opts ...aegis.ConnOption) (*aegis.Conn, error) {
	f, err := Open(ctx, s)
	if err != nil {
		return nil, err
	}
	conn, err := f.Settings().Connect(ctx, append([]aegis.ConnOption{aegis.WithNATSOptions(f.Options()...)}, opts...)...)
	if err != nil {
		f.Close()
		return nil, err
	}
	go func() {
		<-f.closedWith(conn.NATS())
		f.Close()
	}()
	return conn, nil
}

// closedWith returns a channel that is closed when a connection is closed for good.
func (f *Forward) closedWith(nc *nats.Conn) <-chan struct{} {
	closed := make(chan struct{})
	changes := nc.StatusChanged(nats.CLOSED)
	go func() {
		defer close(closed)
		for !nc.IsClosed() {
			select {
			case <-changes:
			case <-f.ctx.Done():
				return
			case <-time.After(time.Second): // nats.go drops what comes while nobody reads
			}
		}
	}()
	return closed
}

// Settings returns those of aegisenv that lead over this way: the URL of NATS, and the
// user's credentials if a Secret was named.
func (f *Forward) Settings() aegisenv.Settings {
	s := f.user
	s.URL = f.URL()
	return s
}
