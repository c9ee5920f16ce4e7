package aegiskeda

import (
	"context"
	"errors"
	"net/http"
	"sync"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
)

// Scaler is an external scaler for KEDA, and the handler of its gRPC calls, which come over
// HTTP/2. It is safe for concurrent use.
type Scaler struct {
	conn    *aegis.Conn
	in      inside.Conn
	handler http.Handler
	streams streams
	looks   looks

	life    context.Context //nolint:containedctx // it ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // the looks that are under way
}

var _ http.Handler = (*Scaler)(nil)

// New returns a scaler for the services of the connection's namespace. It reads only while
// somebody asks, and works while NATS is away.
func New(conn *aegis.Conn) (*Scaler, error) {
	if conn == nil {
		return nil, errors.New("aegiskeda: the connection is nil")
	}
	s := &Scaler{conn: conn, in: inside.Of(conn)}
	s.life, s.end = context.WithCancel(context.Background())
	s.looks = looks{read: s.read, start: s.start, known: make(map[subject]*look)}
	s.streams = streams{seen: make(map[string]bool), missing: make(map[string]missing)}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP serves the methods of externalscaler.ExternalScaler, by gRPC and, where somebody
// wants to see by hand what KEDA sees, as JSON that is posted.
func (s *Scaler) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close ends all calls, and waits for what is being read. Calls that come later fail. The
// connection stays open. Further calls do nothing.
func (s *Scaler) Close() {
	s.looks.close(s.end)
	s.running.Wait()
}

// start runs a look in the background. The lock of the looks is held, so that Close does not
// wait meanwhile.
func (s *Scaler) start(f func(ctx context.Context)) {
	s.running.Go(func() { f(s.life) })
}
