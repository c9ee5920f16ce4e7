// Package monitorhttp serves a monitor over HTTP: on an address that its users understand,
// with limits on what a client may hold, and with an end that does not wait for the streams
// that are open.
package monitorhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// The limits on clients. There is none on how long a response takes: a stream of events goes
// on for hours, and the monitor itself ends one that nobody reads.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
)

// Of gRPC: how many streams a connection may have, which all triggers of a cluster share; and
// when a client that is silent is asked whether it is there, and for how long.
const (
	maxStreams  = 10_000
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// shutdownTimeout is how long requests that are under way may take to end after the streams
// have been closed. What runs after that is cut off.
const shutdownTimeout = 3 * time.Second

// Monitor is the handler that is served. Close ends its open streams.
type Monitor interface {
	http.Handler
	Close()
}

// Options are those of New.
type Options struct {
	Monitor Monitor
	// Path is the path that the monitor is below, such as "/aegis"; "" for all of the server.
	Path string
	// Certificate is that of the server. Default: there is no TLS.
	Certificate *Certificate
	// ClientCAs are the authorities of which every client has to show a certificate. Default:
	// clients show none. They belong to a Certificate.
	ClientCAs *x509.CertPool
	// GRPC: clients speak gRPC, and so HTTP/2 also without TLS; many streams stay open on one
	// connection, and one whose client is gone is noticed.
	GRPC bool
	// Logger has what goes wrong with connections, at level debug.
	Logger *slog.Logger
}

// Server serves a monitor. Run has to be called once.
type Server struct {
	listener net.Listener
	http     *http.Server
	url      string
	close    func() // closes the monitor, once
}

// New returns a server on a listener, which takes connections from now on and answers them
// when Run is called.
func New(l net.Listener, o Options) *Server {
	s := &Server{listener: l, url: address(l, o.Certificate != nil) + o.Path + "/", close: sync.OnceFunc(o.Monitor.Close)}
	s.http = &http.Server{
		Handler:           below(o.Path, o.Monitor),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	if o.Certificate != nil {
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: o.Certificate.get}
		if o.ClientCAs != nil {
			s.http.TLSConfig.ClientCAs, s.http.TLSConfig.ClientAuth = o.ClientCAs, tls.RequireAndVerifyClientCert
		}
	}
	if o.GRPC {
		s.http.Protocols = new(http.Protocols)
		s.http.Protocols.SetHTTP1(true)
		s.http.Protocols.SetHTTP2(true)
		s.http.Protocols.SetUnencryptedHTTP2(true)
		s.http.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	}
	s.http.RegisterOnShutdown(s.close)
	return s
}

// URL is the address of the page.
func (s *Server) URL() string { return s.url }

// Run serves until ctx ends, or until no connection can be taken any more, which is an error.
// When it returns the monitor is closed, and no request runs.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	s.stop()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) serve() error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// stop takes no connection any more, closes the monitor and with it all streams, and then
// waits for the requests that are under way. A client that reads nothing could hold up both,
// so after a while all connections are cut.
func (s *Server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // whatever it says, the connections are gone
	}
	_ = s.listener.Close() // Shutdown has closed it, unless it was never served
	s.close()
}

// below mounts a handler below a path.
func below(path string, handler http.Handler) http.Handler {
	if path == "" {
		return handler
	}
	mux := http.NewServeMux()
	mux.Handle(path+"/", http.StripPrefix(path, handler))
	return mux
}

// address returns the URL of a listener. One that listens everywhere is reached by the name of
// this machine.
func address(l net.Listener, secure bool) string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return scheme + l.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
		if name, err := os.Hostname(); err == nil && name != "" {
			host = name
		}
	}
	return scheme + net.JoinHostPort(host, port)
}
