// Package embednats runs a NATS server within the process, for tests, examples
// and benchmarks.
package embednats

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// startTimeout bounds the wait until the server accepts connections.
const startTimeout = 30 * time.Second

// Options are those of Start. The zero value is a server without JetStream on a
// free port of the loopback interface.
type Options struct {
	// Port is the port to listen on. Default: a free one.
	Port int
	// StoreDir turns JetStream on, which keeps its files there. Default: no JetStream, unless
	// Config turns it on.
	StoreDir string
	// Config is the path of a configuration file of nats-server. The other options go over
	// it. Default: none.
	Config string
	// Name is that of the server. Default: NATS makes one up.
	Name string
	// Member makes the server one of a cluster, see Cluster. Default: it stands alone.
	Member *Member
}

// Server is a running NATS server.
type Server struct {
	*server.Server
}

// Start starts a NATS server on the loopback interface, and returns when it accepts
// connections. The caller stops it.
func Start(o Options) (*Server, error) {
	opts := &server.Options{}
	if o.Config != "" {
		var err error
		if opts, err = server.ProcessConfigFile(o.Config); err != nil {
			return nil, fmt.Errorf("NATS server configuration: %w", err)
		}
	}
	opts.Host = "127.0.0.1"
	opts.Port = server.RANDOM_PORT
	if o.Port != 0 {
		opts.Port = o.Port
	}
	opts.NoLog, opts.NoSigs = true, true
	if o.Name != "" {
		opts.ServerName = o.Name
	}
	if o.Member != nil {
		o.Member.join(opts)
	}
	if o.StoreDir != "" {
		opts.JetStream, opts.StoreDir = true, o.StoreDir
	}
	return Run(opts)
}

// Run starts a NATS server with options of nats-server and waits until it accepts
// connections. Stop ends it.
func Run(opts *server.Options) (*Server, error) {
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("NATS server: %w", err)
	}
	if !opts.NoLog {
		s.ConfigureLogger()
	}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return nil, fmt.Errorf("the embedded NATS server was not ready within %v", startTimeout)
	}
	firstAnswer(s, opts)
	return &Server{s}, nil
}

// firstAnswer asks JetStream something and waits for the answer. Of the first two requests of
// an account that a server hears at once, NATS answers only one (nats-server 2.15: the second
// is answered on a subject to which the server has not subscribed yet), and the other waits
// until its time is over. A server with users, or one of a cluster, is left as it is: the one
// would not answer, the other not yet.
func firstAnswer(s *server.Server, opts *server.Options) {
	if !opts.JetStream || opts.Cluster.Name != "" {
		return
	}
	nc, err := nats.Connect(s.ClientURL(), nats.NoReconnect()) // a server closes a refused connection within the process only after 10 s
	if err != nil {
		return // the server wants to know who asks
	}
	defer nc.Close()
	_, _ = nc.Request("$JS.API.INFO", nil, nats.DefaultTimeout) // an account without JetStream has no race to lose
}

// Stop stops the server, and returns when it has stopped.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}
