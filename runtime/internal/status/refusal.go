package status

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/aegisrpc/aegis/internal/wire"
)

// AsRefusal returns a copy of s with which an interceptor refuses a call, for the reason
// OVERLOADED or else REFUSED.
func (s *Status) AsRefusal(reason string) *Status {
	c := *s
	if c.Reason = wire.ReasonRefused; reason == wire.ReasonOverloaded {
		c.Reason = reason
	}
	c.NotRun, c.Refusal = true, true
	return &c
}

// RefusedByInterceptor reports whether a status that ends an accepted stream is the refusal of an
// interceptor of the server.
func (s *Status) RefusedByInterceptor() bool {
	return s.Reason == wire.ReasonRefused || s.Reason == wire.ReasonOverloaded
}

// WithoutRefusal returns a copy of s that a server may not take for a refusal of its own.
func (s *Status) WithoutRefusal() *Status {
	c := *s
	c.Refusal = false
	return &c
}

// WithDetails returns a copy of s with further details. A detail that cannot be marshalled is
// left out, and the message says so.
func (s *Status) WithDetails(details []proto.Message) *Status {
	c := *s
	c.Details = slices.Clone(c.Details)
	for _, d := range details {
		if packed, err := anypb.New(d); err != nil {
			c.Message += fmt.Sprintf(" (a detail of type %T cannot be marshalled: %v)", d, err)
		} else {
			c.Details = append(c.Details, packed)
		}
	}
	return &c
}
