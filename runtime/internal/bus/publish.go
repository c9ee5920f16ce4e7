package bus

import (
	"context"
	"errors"
	"net"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// NotConnected is the text in place of nats.go's "outbound buffer limit exceeded".
const NotConnected = "not connected to NATS"

// Advice for a person whose message is too large.
const (
	SendInParts  = "set max_message_bytes in the method's options, and it travels in parts"
	SendLess     = "raise max_payload of the NATS server, or store the data elsewhere and send where they are"
	TakeInParts  = "the client takes no messages in parts, which those of Aegis do for methods with max_message_bytes"
	LessMetadata = "send less metadata"
)

// TooLarge returns the status of a message that exceeds max_payload.
func TooLarge(what string, size int, most int64, advice string) *status.Status {
	return status.Refusal(status.ResourceExhausted, wire.ReasonTooLarge,
		"%s takes %d bytes with its headers besides, the NATS server's max_payload is %d; %s", what, size, most, advice)
}

// Publish hands a message to NATS that nobody answers. It waits for a connection that
// is down until the deadline of r. The header may be nil.
func (b *Bus) Publish(ctx context.Context, r *Request, header nats.Header) *status.Status {
	for {
		if !b.LinkUp() {
			if why := b.AwaitLink(ctx, *r.Subject, r.Deadline); why != nil {
				return why
			}
		}
		var err error
		if header == nil {
			err = b.NATS.Publish(*r.Subject, r.Payload)
		} else {
			err = b.NATS.PublishMsg(&nats.Msg{Subject: *r.Subject, Header: header, Data: r.Payload})
		}
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, nats.ErrReconnectBufExceeded):
			return b.PublishError(r, err)
		}
		b.Link.Doubt() // the connection went down after LinkUp
	}
}

// PublishError returns the status of a request that nats.go has not sent, or not all of
// it.
func (b *Bus) PublishError(r *Request, err error) *status.Status {
	if LinkBroke(err) {
		return status.Newf(status.Unavailable, "the connection to NATS broke before all of the request to %s was sent: %w", *r.Subject, err)
	}
	return b.unpublished(r, err).WithNotRun(true)
}

func (b *Bus) unpublished(r *Request, err error) *status.Status {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		what, advice := "the message", SendLess
		if r.Call {
			what = "the request"
		}
		if r.Divisible {
			advice = SendInParts
		}
		return TooLarge(what, len(r.Payload), b.NATS.MaxPayload(), advice)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return Closed()
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return status.Newf(status.Unavailable, "%s; nothing was sent to %s", NotConnected, *r.Subject)
	default:
		return status.Newf(status.Internal, "cannot publish to %s: %w", *r.Subject, err)
	}
}

// LinkBroke reports whether an error says that a write failed. nats.go sends the rest of
// such a message to nobody.
func LinkBroke(err error) bool {
	_, broken := errors.AsType[*net.OpError](err)
	return broken
}
