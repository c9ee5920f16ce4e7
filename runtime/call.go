package aegis

import "context"

// Call is one call, as its client, its handler and the interceptors between
// them see it. On the client NewCall makes one, to send metadata and to read
// the metadata of the response; in handlers and interceptors CallFromContext returns it.
// A Call is not safe for concurrent use.
type Call struct {
	method   Method
	instance string
	attempt  int
	term     Term
	request  Header
	response Header
	trailer  Header
	// incoming makes the request header when somebody asks for it.
	incoming func() Header
}

// Method returns the method of the call. On the client it is empty before the call.
func (c *Call) Method() Method { return c.method }

// Side returns the side at which the call is seen. On the client it is 0 before the call.
func (c *Call) Side() Side { return c.method.side }

// Instance returns, on a server, the name of the instance that serves the call.
func (c *Call) Instance() string { return c.instance }

// Attempt returns, on a server, the number of the client's attempt, from 1 on.
func (c *Call) Attempt() int { return c.attempt }

// Term returns the term in which a single active method was handled: on the
// server as TermFromContext does; on the client, when the call has returned,
// without Since. It is zero for other methods, and if no leader has answered.
func (c *Call) Term() Term { return c.term }

// RequestHeader returns the metadata of the request: on the client to be set
// before the call, on the server to be read.
func (c *Call) RequestHeader() Header {
	if c.request == nil {
		if c.incoming != nil {
			c.request = c.incoming()
		} else {
			c.request = Header{}
		}
	}
	return c.request
}

// ResponseHeader returns the metadata of the response: on the server to be set
// before the handler returns, on the client to be read when the call has
// returned, also with an error.
func (c *Call) ResponseHeader() Header {
	if c.response == nil {
		c.response = Header{}
	}
	return c.response
}

// ResponseTrailer returns the metadata behind the last response of a stream: on
// the server to be set before the handler returns, on the client to be read when
// the stream has ended. Unary calls have none.
func (c *Call) ResponseTrailer() Header {
	if c.trailer == nil {
		c.trailer = Header{}
	}
	return c.trailer
}

type (
	outgoingKey struct{}
	currentKey  struct{}
)

// NewCall returns a context for one call, and the Call through which that
// call's metadata is set and read:
//
//	ctx, call := aegis.NewCall(ctx)
//	call.RequestHeader().Set("tenant", "a")
//	resp, err := orders.GetOrder(ctx, req)
//	region := call.ResponseHeader().Get("region")
//
// The metadata of the call that a handler serves is not passed on by itself.
func NewCall(ctx context.Context) (context.Context, *Call) {
	c := &Call{attempt: 1}
	return context.WithValue(ctx, outgoingKey{}, c), c
}

// CallFromContext returns the call that a handler or an interceptor works on.
func CallFromContext(ctx context.Context) (*Call, bool) {
	c, ok := ctx.Value(currentKey{}).(*Call)
	return c, ok
}

// outgoingCall returns the call that NewCall has put into a context, or nil.
func outgoingCall(ctx context.Context) *Call {
	c, _ := ctx.Value(outgoingKey{}).(*Call)
	return c
}
