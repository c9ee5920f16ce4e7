package aegis

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/frame"
)

// The server's side of unary calls of methods with max_message_bytes, see client_parts.go.

// inParts reports whether the request of a unary call comes as a stream.
func (m *serverMethod) inParts(msg *nats.Msg) bool {
	if m.method.MaxMessageBytes == 0 || m.stream != nil {
		return false
	}
	size := wire.HeaderValue(msg.Header, wire.HeaderChunked)
	return size != "" && size != "0"
}

// checkSize refuses a request that is larger than the method's max_message_bytes, before it
// comes.
func (m *serverMethod) checkSize(msg *nats.Msg) *Error {
	text := msg.Header.Get(wire.HeaderChunked)
	size, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return Errorf(CodeInvalidArgument, "%s %s is not a number of bytes", wire.HeaderChunked, quote(text))
	}
	if size > uint64(m.method.MaxMessageBytes) {
		return outward(rpcstream.TooLargeFor(m.name, int(size), m.method.MaxMessageBytes))
	}
	return nil
}

// serveInParts runs the handler of a unary call whose request comes as a stream.
func (m *serverMethod) serveInParts(ctx context.Context, s AnyStream) error {
	req := m.request()
	if err := s.Recv(req); err == io.EOF { //nolint:errorlint // only the end itself is one
		return Errorf(CodeInvalidArgument, "the request of %s has not come", m.name)
	} else if err != nil {
		return err
	}
	res, err := m.handle(ctx, req)
	if err != nil {
		return err
	}
	if !m.response(res) {
		return Errorf(CodeInternal, "an interceptor of the server of %s returned %T without an error", m.name, res)
	}
	return s.Send(res)
}

// respondInParts sends a response that is too large for one message of NATS, to
// a client that can take it as a stream.
func (s *Server) respondInParts(o *outcome) *Error {
	most := o.method.method.MaxMessageBytes
	if size := len(o.worker.Payload); size > most {
		return outward(rpcstream.TooLargeFor(o.method.name, size, most))
	}
	window, err := clientWindow(o.msg.Header, true)
	if err != nil {
		return err
	}
	st := &serverStream{server: s, method: o.method, term: o.term, named: o.named, arrived: o.context.Arrived, call: o.context.call, counted: true}
	st.begin(rpcstream.Config{
		Name: o.method.name, To: o.msg.Reply, JSON: o.json, MaxMessage: most, Window: s.cfg.window, Limit: window,
	}, max(time.Until(o.context.Due), time.Nanosecond))
	payload := append(make([]byte, frame.MaxOverhead, frame.MaxOverhead+len(o.worker.Payload)), o.worker.Payload...)
	st.handler = func(context.Context, AnyStream) error {
		if err := st.head(); err != nil {
			return err
		}
		return endOfStream(st.Stream.Send(payload))
	}
	s.admitReply(st) // the handler has run: its reply is not refused
	if s.startStream(st) {
		go st.run()
	}
	return nil
}
