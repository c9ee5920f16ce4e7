// Package descserve answers requests for the descriptors of services: a program that has no
// generated code of a service asks those who have it.
package descserve

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Responder has the sets of descriptors that one server serves. It is safe for concurrent
// use.
type Responder struct {
	subjects wire.Subjects
	sets     atomic.Pointer[map[string]*descset.Set] // by the subject of the requests; nil before Serve
}

// New makes a responder without sets.
func New(subjects wire.Subjects) *Responder { return &Responder{subjects: subjects} }

// Serve sets the sets, which are by the full names of their services. It is called before
// Listen.
func (r *Responder) Serve(sets map[string]*descset.Set) {
	bySubject := make(map[string]*descset.Set, 2*len(sets))
	for service, set := range sets {
		bySubject[r.subjects.Descriptors(service, wire.AnyDescriptors)] = set
		bySubject[r.subjects.Descriptors(service, set.Hash())] = set
	}
	r.sets.Store(&bySubject)
}

// subjectsOfSets returns the subjects to subscribe to, in order. A hash has a subject of its own,
// so that NATS says at once that nobody serves it.
func (r *Responder) subjectsOfSets() []string {
	if sets := r.sets.Load(); sets != nil {
		return slices.Sorted(maps.Keys(*sets))
	}
	return nil
}

// ofHash reports whether a subject is that of one version alone, which names its hash.
func (r *Responder) ofHash(subject string) bool {
	set := r.find(subject)
	return set != nil && strings.HasSuffix(subject, "."+set.Hash())
}

// Of returns the set of a service; nil if there is none.
func (r *Responder) Of(service string) *descset.Set {
	return r.find(r.subjects.Descriptors(service, wire.AnyDescriptors))
}

// find returns the set that is asked for on a subject; nil if there is none.
func (r *Responder) find(subject string) *descset.Set {
	if sets := r.sets.Load(); sets != nil {
		return (*sets)[subject]
	}
	return nil
}

// Serves reports whether the responder answers on a subject.
func (r *Responder) Serves(subject string) bool { return r.find(subject) != nil }

// maxRequest bounds the body of a request: an offset takes some 30 bytes.
const maxRequest = 1 << 10

// Answer returns the reply to a request on a subject of the responder: a slice of the set
// that is no more than half of what a message of NATS may have. The caller must not change
// the payload.
func (r *Responder) Answer(msg *nats.Msg, maxPayload int64) (nats.Header, []byte, *status.Status) {
	set := r.find(msg.Subject)
	if set == nil {
		return nil, nil, status.Newf(status.Unimplemented, "nobody serves descriptors on %s", msg.Subject)
	}
	request, ok := wire.DecodeDescriptorsRequest(msg.Data[:min(len(msg.Data), maxRequest)])
	if !ok {
		return nil, nil, status.Newf(status.InvalidArgument,
			`%s is no request for descriptors; send an empty message, or {"offset":N} with a number of bytes`, status.Quote(string(msg.Data)))
	}
	data := set.Encoded()
	size := int64(len(data))
	switch {
	case request.Offset < 0:
		return nil, nil, status.Newf(status.InvalidArgument, "the offset %d is negative", request.Offset)
	case request.Offset >= size:
		return nil, nil, status.Newf(status.OutOfRange, "the offset %d is behind the end: the descriptors have %d bytes", request.Offset, size)
	}
	end := min(size, request.Offset+max(1, min(maxPayload/2, wire.MaxDescriptorsSlice)))
	return nats.Header{
		wire.HeaderDescriptors:     {set.Hash()},
		wire.HeaderDescriptorsSize: {strconv.FormatInt(size, 10)},
	}, data[request.Offset:end], nil
}
