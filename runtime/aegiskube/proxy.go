package aegiskube

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/url"

	"github.com/armon/go-socks5"
)

// Proxy is a SOCKS5 proxy on this machine, for programs that do not import this package: the
// variable NATS_SOCKS_PROXY of package aegisenv, and of the nats command, leads them through
// it. Whatever address they ask for, they get a pod of NATS, and nothing else.
type Proxy struct {
	listener net.Listener
	user     *url.Userinfo
	done     chan struct{}
}

// Listen starts a proxy on a free port of the loopback interface, until the way is closed or
// the proxy is. Its users have to know its password, which is made up.
func (f *Forward) Listen(ctx context.Context) (*Proxy, error) {
	password := rand.Text()
	server, err := socks5.New(&socks5.Config{
		Credentials: socks5.StaticCredentials{"aegis": password},
		Resolver:    noResolver{},
		Rules:       connectOnly{},
		Dial:        func(_ context.Context, network, address string) (net.Conn, error) { return f.Dial(network, address) },
		Logger:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo), // what fails is told to the client, and logged by the way
	})
	if err != nil {
		return nil, fmt.Errorf("aegis kube: proxy: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("aegis kube: proxy: %w", err)
	}
	p := &Proxy{listener: listener, user: url.UserPassword("aegis", password), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = server.Serve(listener) // until it is closed
	}()
	context.AfterFunc(f.ctx, func() { _ = listener.Close() })
	return p, nil
}

// URL returns the URL of the proxy, with its password.
func (p *Proxy) URL() string {
	return (&url.URL{Scheme: "socks5", User: p.user, Host: p.listener.Addr().String()}).String()
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() net.Addr { return p.listener.Addr() }

// Close closes the proxy. Connections through it go on until the way is closed.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	<-p.done
}

// noResolver leaves names as they are: they are known within the cluster alone.
type noResolver struct{}

func (noResolver) Resolve(ctx context.Context, _ string) (context.Context, net.IP, error) {
	return ctx, nil, nil
}

// connectOnly allows nothing but connections.
type connectOnly struct{}

func (connectOnly) Allow(ctx context.Context, r *socks5.Request) (context.Context, bool) {
	return ctx, r.Command == socks5.ConnectCommand
}
