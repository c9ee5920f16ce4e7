package aegis

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/calling"
	"github.com/aegisrpc/aegis/runtime/internal/keyfield"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// PublisherOption is an option of the generated New...Publisher functions.
type PublisherOption interface {
	applyPublisher(c *publisherConfig) error
}

// PublishOption is an option of publishing one event.
type PublishOption interface {
	applyPublish(c *publishConfig) error
}

type (
	publisherOption func(*publisherConfig) error
	publishOption   func(*publishConfig) error
)

func (o publisherOption) applyPublisher(c *publisherConfig) error { return o(c) }
func (o publishOption) applyPublish(c *publishConfig) error       { return o(c) }

type publisherConfig struct {
	storage      Storage
	interceptors interceptors
	maxInFlight  int // 0: the default
}

type publishConfig struct{ id string }

func (o InterceptorsOption) applyPublisher(c *publisherConfig) error {
	return o.appendTo(&c.interceptors)
}

// WithMaxInFlight sets how many events of a publisher's Async methods may wait for their
// acknowledgements, 1 to 100,000. A further Async call waits until one is acknowledged.
// Default 1,024.
func WithMaxInFlight(n int) PublisherOption {
	return publisherOption(func(c *publisherConfig) error {
		if n < 1 || n > 100_000 {
			return invalidOption("max in flight %d: use 1 to 100000", n)
		}
		c.maxInFlight = n
		return nil
	})
}

// MessageID gives a durable event an id. A second event of the same method with the same
// id is discarded, and acknowledged as a duplicate, if it comes within the dedupe window
// of the stream (2 min unless the proto or WithStorage says otherwise). An event with an
// id is published again until the deadline if its acknowledgement is lost; without an id
// that could store it twice. An id has 1 to 256 characters, no control characters, and no
// white space at an end. Default: no id. For a core event MessageID is an error, as core
// events have no ids.
func MessageID(id string) PublishOption {
	return publishOption(func(c *publishConfig) error {
		if id == "" || len(id) > stores.MaxMessageID || !metadata.ValidValue(id) {
			return invalidOption("message id %s: use 1 to %d characters, without control characters or white space at an end", quote(id), stores.MaxMessageID)
		}
		c.id = id
		return nil
	})
}

// PubAck is the acknowledgement of a durable event: it says where the event is stored.
type PubAck struct {
	// Stream is the name of the stream, and Sequence the sequence of the event in it.
	Stream   string
	Sequence uint64
	// Duplicate says that an event with the same MessageID was stored before, under this
	// sequence, and that this event was discarded.
	Duplicate bool
}

// Publisher publishes the events of one service. Generated publishers are made of it. It
// is safe for concurrent use.
type Publisher struct {
	conn    *Conn
	service *spec.Service
	cfg     publisherConfig
	chains  map[string][]Interceptor // by event
	stream  openStream
	async   *stores.Sender
}

// eventMethod is one event of a publisher.
type eventMethod struct {
	publisher  *Publisher
	method     *spec.Method // nil: the generated files are of different versions
	public     Method
	subject    string // of an event without a key
	key        keyfield.Path
	keyed      *stores.KeyedEvent // nil without a key
	permission *bus.Permission    // to publish a core event; nil for durable ones
	figures    *calling.Method    // of a durable event; core events cost less than to count them
	// intercepted publishes through the interceptors; nil without any.
	intercepted UnaryFunc
}

func newEventMethod(p *Publisher, name protoreflect.Name) eventMethod {
	e := eventMethod{publisher: p, public: Method{Service: p.service.Name, Name: string(name)}}
	m := p.service.Method(string(name))
	if m == nil || m.Event == nil {
		return e
	}
	e.method, e.public, e.key = m, publicMethod(p.service, m, SidePublisher), keyfield.New(m.Event.KeyField)
	if !m.Event.Durable {
		e.subject = p.conn.subjects.Event(p.service.Name, m.Name)
		e.permission = bus.NewPermission(p.conn.bus, e.subject, p.conn.flush)
		return e
	}
	e.figures = p.conn.figures().Of(p.service.Name, m.Name)
	e.subject = p.conn.subjects.Log(p.service.Name, m.Name, 0)
	if m.Event.KeyField != nil {
		e.keyed = &stores.KeyedEvent{Stream: &p.stream.Stream, Name: m.Name, Partitions: m.Event.Partitions}
	}
	return e
}

// CoreEvent publishes one event of a Publisher that is not stored. It is safe for
// concurrent use.
type CoreEvent[E any] struct{ eventMethod }

// Publish hands an event to NATS. It waits for a connection that is down until ctx ends,
// or for the service's timeout if ctx has no deadline. The publisher does not learn whether
// a subscriber receives the event. The first Publish waits besides until NATS has read the
// event: the code of the error is CodePermissionDenied if NATS does not let this user
// publish it. The error is an *Error.
func (e *CoreEvent[E]) Publish(ctx context.Context, ev *E, opts ...PublishOption) error {
	msg := any(ev).(proto.Message) //nolint:forcetypeassert // generated code passes messages
	if e.intercepted == nil && e.method != nil && len(opts) == 0 && outgoingCall(ctx) == nil && e.publishPlain(ctx, msg) {
		return nil
	}
	p, err := e.publication(ctx, opts)
	if err != nil {
		return err
	}
	if e.intercepted != nil {
		return e.callIntercepted(p, msg)
	}
	if err := e.publishCore(p, msg); err != nil {
		return err
	}
	return nil
}

// DurableEvent publishes one event of a Publisher that is stored. It is safe for
// concurrent use.
type DurableEvent[E any] struct{ eventMethod }

// Publish stores an event and returns when the event is stored, at the latest when ctx
// ends, or after the service's timeout if ctx has no deadline. An error with the code
// CodeDeadlineExceeded leaves open whether the event is stored: publish it again with
// the same MessageID. The error is an *Error.
func (e *DurableEvent[E]) Publish(ctx context.Context, ev *E, opts ...PublishOption) (*PubAck, error) {
	msg := any(ev).(proto.Message) //nolint:forcetypeassert // generated code passes messages
	p, err := e.publication(ctx, opts)
	if err != nil {
		return nil, err
	}
	if e.intercepted != nil {
		if err := e.callIntercepted(p, msg); err != nil {
			return nil, err // also if the event is stored
		}
		return p.ack, nil
	}
	if err := e.publishDurable(p, msg); err != nil {
		return nil, err
	}
	return p.ack, nil
}

// PublishAsync sends an event and does not wait until the event is stored: the future has
// the outcome. PublishAsync waits only while the connection is down or as many events are
// in flight as may be (see WithMaxInFlight), and no longer than Publish would. Events that
// are published one after the other are stored in that order, unless one of them has to be
// sent again. The error is an *Error; then nothing was sent.
func (e *DurableEvent[E]) PublishAsync(ctx context.Context, ev *E, opts ...PublishOption) (*PubFuture, error) {
	msg := any(ev).(proto.Message) //nolint:forcetypeassert // generated code passes messages
	p, err := e.publication(ctx, opts)
	if err != nil {
		return nil, err
	}
	p.async = true
	if e.intercepted != nil {
		if err := e.callIntercepted(p, msg); err != nil {
			return nil, err
		}
		return p.future, nil
	}
	if err := e.publishDurable(p, msg); err != nil {
		return nil, err
	}
	return p.future, nil
}

// eventPublication is one event on its way out: the context that interceptors see,
// the options of the caller, and the outcome.
type eventPublication struct {
	publication

	cfg    publishConfig
	async  bool
	ack    *PubAck
	future *PubFuture
}

func (p *eventPublication) Value(key any) any {
	if _, ok := key.(publicationKey); ok {
		return p
	}
	return p.publication.Value(key)
}

// publication checks the options of one event.
func (e *eventMethod) publication(ctx context.Context, opts []PublishOption) (*eventPublication, error) {
	if e.method == nil {
		return nil, Errorf(CodeUnimplemented, "%s is not an event in the descriptor of the service: the generated files of messages and services "+
			"are of different versions; run buf generate", e.public.FullName())
	}
	p := &eventPublication{publication: newPublication(ctx, e.public, e.publisher.timeout())}
	for i, o := range opts {
		if o == nil {
			return nil, Errorf(CodeInvalidArgument, "%w", nilOption(i))
		}
		if err := o.applyPublish(&p.cfg); err != nil {
			return nil, Errorf(CodeInvalidArgument, "%w", err)
		}
	}
	if p.cfg.id != "" && !e.method.Event.Durable {
		return nil, Errorf(CodeInvalidArgument, "MessageID: %s is no durable event, and nobody would know the id", e.public.FullName())
	}
	return p, ctxError(ctx)
}

// timeout returns how long publishing may take if the caller's context has no deadline.
func (p *Publisher) timeout() time.Duration { return p.service.Timeout }

// intercept has the events published by a function through the interceptors, if there are
// any.
func (e *eventMethod) intercept(publish func(*eventPublication, proto.Message) *Error) {
	if e.method != nil {
		e.intercepted = interceptSend(e.publisher.chains[e.method.Name], e.public, e.method.Desc, publish)
	}
}

func (e *eventMethod) callIntercepted(p *eventPublication, msg proto.Message) error {
	if _, err := e.intercepted(p, msg); err != nil {
		return asError(err)
	}
	if e.method.Event.Durable && p.ack == nil && p.future == nil {
		return Errorf(CodeInternal, "an interceptor of the publisher of %s returned no error, and published nothing", e.public.FullName())
	}
	return nil
}

// header returns the NATS header of an event; nil without metadata and id.
func (e *eventMethod) header(p *eventPublication) (nats.Header, *Error) {
	var h nats.Header
	if p.call != nil && len(p.call.request) > 0 {
		h = make(nats.Header, len(p.call.request)+1)
		if err := p.call.request.encodeTo(h); err != nil {
			return nil, err
		}
	}
	if p.cfg.id != "" {
		if h == nil {
			h = make(nats.Header, 1)
		}
		h[wire.HeaderMessageID] = []string{e.method.Name + "." + p.cfg.id}
	}
	return h, nil
}

// place returns the subject of an event, and the hash of its key, which decides the partition.
func (e *eventMethod) place(msg proto.Message) (subject *string, hash uint64) {
	if e.keyed == nil {
		return &e.subject, 0
	}
	hash = wire.KeyHash(e.key.Of(msg))
	return e.keyed.Subject(hash), hash
}

// publishDurable stores an event, or sends it if it is published by an Async method, and
// counts it.
func (e *eventMethod) publishDurable(p *eventPublication, msg proto.Message) *Error {
	began := time.Now()
	e.figures.Begin()
	err := e.storeOrSend(p, msg)
	e.figures.Done(began, err.inward())
	return err
}

func (e *eventMethod) storeOrSend(p *eventPublication, msg proto.Message) *Error {
	header, failure := e.header(p)
	if failure != nil {
		return failure
	}
	if err := e.publisher.stream.ensureWithin(p, p.deadline); err != nil {
		return err
	}
	if p.async {
		return e.publishAsync(p, msg, header)
	}
	conn := e.publisher.conn
	slot := conn.bus.Acquire()
	defer conn.bus.Release(slot)
	var err error
	if slot.Payload, err = (proto.MarshalOptions{}).MarshalAppend(slot.Payload[:0], msg); err != nil {
		return Errorf(CodeInvalidArgument, "the event %s cannot be marshalled: %w", e.public.FullName(), err)
	}
	subject, hash := e.place(msg)
	ack, failure := e.publisher.stream.store(p, slot, &storing{
		Subject: subject, Header: header, Deadline: p.deadline, Again: p.cfg.id != "", Window: e.publisher.stream.Window(), Event: e.keyed, Hash: hash,
	})
	p.ack = (*PubAck)(ack)
	return failure
}

func (o StorageOption) applyPublisher(c *publisherConfig) error {
	c.storage = o.storage
	return o.storage.checkEvents()
}

// checkPublisherOptions refuses options that would do nothing for a service without
// durable events.
func checkPublisherOptions(s *spec.Service, cfg *publisherConfig) error {
	switch {
	case cfg.storage != (Storage{}):
		return invalidOption("WithStorage: %s has no durable event", s.Name)
	case cfg.maxInFlight != 0:
		return invalidOption("WithMaxInFlight: %s has no durable event", s.Name)
	}
	return nil
}
