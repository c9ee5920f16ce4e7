package aegisreflect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

const (
	// answerTimeout bounds the wait for one answer of a server. It is only reached where NATS
	// does not say that nobody listens, and where a server hangs.
	answerTimeout = 2 * time.Second
	// linkLook is the pause before another attempt over a connection that is down.
	linkLook = 20 * time.Millisecond
	// maxEncoded bounds descriptors that a server announces.
	maxEncoded = 32 << 20
	// maxParts bounds the requests for one set of descriptors.
	maxParts = 4096
	// downloads is how often a download begins whose server has gone before the end.
	downloads = 3
)

// slice is a part of the encoded form of descriptors, as a server has sent it.
type slice struct {
	hash string
	size int // of the whole
	data []byte
}

// served returns the service with the descriptors of one of its servers. Where the
// descriptors are known, it asks for their last byte alone.
func (r *Resolver) served(ctx context.Context, name string) (*Service, error) {
	last := r.lastServed(name)
	if last == nil {
		return r.download(ctx, name, "")
	}
	part, err := r.ask(ctx, name, wire.AnyDescriptors, last.size-1)
	switch {
	case errors.Is(err, errNotServed):
		return nil, err
	case err != nil: // a smaller set has no such byte
		return r.download(ctx, name, "")
	case part.hash == last.version.hash:
		return last, nil
	default:
		return r.download(ctx, name, "")
	}
}

// download returns the service with descriptors of this hash, or with those of any server if
// it is "".
func (r *Resolver) download(ctx context.Context, name, hash string) (*Service, error) {
	var err error
	for range downloads {
		var s *Service
		var whole bool
		s, whole, err = r.tryDownload(ctx, name, hash)
		if err == nil || whole || ctx.Err() != nil {
			return s, err
		}
	}
	return nil, err
}

// tryDownload downloads descriptors. whole says that another attempt would not help.
func (r *Resolver) tryDownload(ctx context.Context, name, hash string) (s *Service, whole bool, err error) {
	from := hash
	if from == "" {
		from = wire.AnyDescriptors
	}
	part, err := r.ask(ctx, name, from, 0)
	if err != nil {
		return nil, true, err
	}
	v := version{name, part.hash}
	if s := r.remembered(v); s != nil {
		r.wasServed(v)
		return s, true, nil
	}
	encoded := bytes.Clone(part.data)
	for parts := 1; len(encoded) < part.size; parts++ {
		next, err := r.ask(ctx, name, v.hash, len(encoded))
		if err != nil {
			return nil, false, err // its servers may have been replaced meanwhile
		}
		if next.size != part.size || len(next.data) == 0 || parts > maxParts || len(encoded)+len(next.data) > part.size {
			return nil, true, invalid(name, "a server", errors.New("its parts do not fit together"))
		}
		encoded = append(encoded, next.data...)
	}
	if s, err = r.decode(encoded, v, "a server"); err == nil {
		r.wasServed(v)
	}
	return s, true, err
}

// ask asks a server for a slice of its descriptors, which begins at offset. The error wraps
// errNotServed if no server has answered.
func (r *Resolver) ask(ctx context.Context, name, hash string, offset int) (slice, error) {
	subject := wire.NewSubjects(r.conn.Namespace()).Descriptors(name, hash)
	msg, err := r.request(ctx, &nats.Msg{Subject: subject, Data: wire.DescriptorsRequest{Offset: int64(offset)}.Encode()})
	if err != nil {
		return slice{}, err
	}
	if status.Failed(msg.Header) {
		st := status.Decode(msg.Header, msg.Data)
		return slice{}, aegis.Errorf(aegis.Code(st.Code), "the descriptors of %s: %s", name, st.Message)
	}
	part := slice{hash: msg.Header.Get(wire.HeaderDescriptors), data: msg.Data}
	part.size, err = strconv.Atoi(msg.Header.Get(wire.HeaderDescriptorsSize))
	switch {
	case err != nil || part.size < 1 || part.size > maxEncoded || !descset.ValidHash(part.hash):
		return slice{}, invalid(name, "a server", fmt.Errorf("its answer has the hash %q and the size %q",
			part.hash, msg.Header.Get(wire.HeaderDescriptorsSize)))
	case hash != wire.AnyDescriptors && part.hash != hash:
		return slice{}, invalid(name, "a server", fmt.Errorf("it was asked for %s, and has sent %s", hash, part.hash))
	case offset+len(part.data) > part.size:
		return slice{}, invalid(name, "a server", errors.New("it has sent more than there is"))
	}
	return part, nil
}

// request sends a request and waits for the answer.
func (r *Resolver) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	bounded, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var answer *nats.Msg
	err := undenied(bounded, r.conn, func(subject string) bool { return subject == msg.Subject }, func(ctx context.Context) (err error) {
		for {
			answer, err = r.conn.NATS().RequestMsgWithContext(ctx, msg)
			if !errors.Is(err, nats.ErrReconnectBufExceeded) || ctx.Err() != nil {
				return err
			}
			wait(ctx, linkLook) // the connection is down, and comes back by itself
		}
	})
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, aegis.Errorf(aegis.CodeUnavailable, "%w: nobody listens on %s", errNotServed, msg.Subject)
	case aegis.CodeOf(err) == aegis.CodePermissionDenied:
		return nil, aegis.Errorf(aegis.CodePermissionDenied, "%w: %w", errNotServed, err)
	case errors.Is(err, nats.ErrConnectionClosed):
		return nil, aegis.Errorf(aegis.CodeCanceled, "%w", aegis.ErrConnClosed)
	case ctx.Err() != nil:
		return nil, aegis.Errorf(aegis.CodeOf(ctx.Err()), "no answer on %s: %w", msg.Subject, ctx.Err())
	case !r.conn.NATS().IsConnected():
		return nil, aegis.Errorf(aegis.CodeUnavailable, "the connection to NATS is down")
	case bounded.Err() != nil:
		return nil, aegis.Errorf(aegis.CodeUnavailable, "%w: no answer on %s within %v", errNotServed, msg.Subject, answerTimeout)
	default:
		return nil, aegis.Errorf(aegis.CodeUnavailable, "%w: the request to %s: %w", errNotServed, msg.Subject, err)
	}
}
