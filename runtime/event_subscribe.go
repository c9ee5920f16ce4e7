package aegis

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
)

// SubscribeOption is an option of the generated Subscribe...Events functions.
type SubscribeOption interface {
	applySubscribe(c *subscribeConfig) error
}

type subscribeOption func(*subscribeConfig) error

func (o subscribeOption) applySubscribe(c *subscribeConfig) error { return o(c) }

func (o InterceptorsOption) applySubscribe(c *subscribeConfig) error {
	return o.appendTo(&c.interceptors)
}

// mode says which other instances get an event of this subscriber.
type mode int

const (
	modeOfProto mode = iota
	modeCompete
	modeEachInstance
)

type subscribeConfig struct {
	mode          mode
	group         string
	concurrency   int // 0: the default
	redelivery    spec.Retry
	noDeadLetters bool
	start         *Position
	storage       Storage
	interceptors  interceptors
}

// choose sets the mode. A second choice is refused, as the first one would do nothing then.
func (c *subscribeConfig) choose(m mode) error {
	if c.mode != modeOfProto {
		return invalidOption("Compete and EachInstance: give one of them, once")
	}
	c.mode = m
	return nil
}

// Compete makes the subscriber a member of a group: each event goes to one member of the
// group. The name has 1 to 64 characters of A-Z a-z 0-9 _ -. "" stands for the group that
// the proto names for the event, and if the proto names none, for the one service that is
// registered on the server. Compete and EachInstance exclude each other. Default: the mode
// that the proto sets for the event.
func Compete(group string) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) error {
		if group != "" && !wire.ValidInstance(group) {
			return invalidOption("group %q: use 1 to 64 characters of A-Z a-z 0-9 _ -", group)
		}
		c.group = group
		return c.choose(modeCompete)
	})
}

// EachInstance makes the subscriber get every event, whichever other subscribers get it.
// If the server has a name of its own (WithInstance), durable events go on where that
// instance left off, however long it was away; else the events that it has not handled are
// dropped 5 min after it is gone. Default: the mode that the proto sets for the event.
func EachInstance() SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) error {
		return c.choose(modeEachInstance)
	})
}

func (o ConcurrencyOption) applySubscribe(c *subscribeConfig) error {
	c.concurrency = o.n
	return o.check(mostHandlers)
}

// WithRedelivery sets how many attempts a durable event has before it goes to the dead
// letters, 1 to 100, and the pauses after a handler's error: initial, doubling up to
// longest, 1 ms to 24 h. It takes precedence over the proto's redelivery option. Default 10
// attempts, 100 ms, 5 s.
func WithRedelivery(maxAttempts int, initial, longest time.Duration) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) error {
		switch {
		case maxAttempts < 1 || maxAttempts > 100:
			return invalidOption("redelivery: %d attempts: use 1 to 100", maxAttempts)
		case initial < time.Millisecond || longest < initial || longest > 24*time.Hour:
			return invalidOption("redelivery: pauses of %v to %v: use 1ms to 24h, the longest at least the initial one", initial, longest)
		}
		c.redelivery = spec.Retry{MaxAttempts: maxAttempts, InitialBackoff: initial, MaxBackoff: longest}
		return nil
	})
}

// WithoutDeadLetters drops events that would go to the dead letters, with an error in the
// log: for subscribers whose events are worth nothing later. Default: the events go to the
// dead letters.
func WithoutDeadLetters() SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) error {
		c.noDeadLetters = true
		return nil
	})
}

// Position is the place in a stream at which a new group or instance begins.
type Position struct {
	kind     startKind
	sequence uint64
	time     time.Time
}

type startKind int

const (
	startNew startKind = iota
	startAll
	startSequence
	startTime
)

// StartNew begins with the first event that is stored after the group, or the instance,
// has subscribed for the first time.
func StartNew() Position { return Position{} }

// StartAll begins with the oldest event that the stream keeps.
func StartAll() Position { return Position{kind: startAll} }

// StartSequence begins with the event that has the sequence (see PubAck and Delivery), 1 or
// more, or else with the next event that the stream keeps.
func StartSequence(sequence uint64) Position {
	return Position{kind: startSequence, sequence: sequence}
}

// StartTime begins with the first event that was stored at t or later, by the NATS server's
// clock.
func StartTime(t time.Time) Position { return Position{kind: startTime, time: t} }

// StartFrom sets where a group or an instance begins in the stream of durable events when
// it subscribes for the first time. After that it goes on where it left off. Default
// StartNew().
func StartFrom(s Position) SubscribeOption {
	return subscribeOption(func(c *subscribeConfig) error {
		switch {
		case s.kind == startSequence && s.sequence == 0:
			return invalidOption("start at sequence 0: use 1 or more, or StartAll")
		case s.kind == startTime && s.time.IsZero():
			return invalidOption("start at no time: use StartAll")
		}
		c.start = &s
		return nil
	})
}

// checkDurable refuses options for durable events if no event that has a handler is one.
func checkDurable(service *spec.Service, subs []*subscription, cfg *subscribeConfig) error {
	for _, sub := range subs {
		if sub.event.Durable {
			return nil
		}
	}
	var what string
	switch {
	case cfg.start != nil:
		what = "StartFrom"
	case cfg.redelivery.MaxAttempts != 0:
		what = "WithRedelivery"
	case cfg.noDeadLetters:
		what = "WithoutDeadLetters"
	case cfg.storage != (Storage{}):
		what = "WithStorage"
	default:
		return nil
	}
	return invalidOption("%s: no event of %s that has a handler is durable", what, service.Name)
}

// addSubscriptions adds all subscriptions or none.
func (s *Server) addSubscriptions(subs []*subscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.State() != StateInit {
		return fmt.Errorf("aegis: subscribe to %s: the server is %s; subscribe before Run", subs[0].service.Name, s.State())
	}
	for _, sub := range subs {
		if err := sub.join(s.services); err != nil {
			return err
		}
		for _, other := range s.work {
			if o, ok := other.(subscriptionRunner); ok && o.of().consumer == sub.consumer && o.of().service.Name == sub.service.Name {
				return fmt.Errorf("aegis: %s is subscribed to already by this server, %s", sub.public.FullName(), sub.who())
			}
		}
	}
	subscriber, err := subscriberOf(s, subs[0].service)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		subscriber.add(sub)
		s.work = append(s.work, sub.runner)
	}
	return nil
}

// subscription is one event with its handler.
type subscription struct {
	server  *Server
	service *spec.Service
	method  *spec.Method
	event   *spec.EventSpec
	public  Method
	name    string // the full name of the event
	cfg     *subscribeConfig
	handler EventHandler
	handle  UnaryFunc // the handler with its interceptors
	stats   methodStats
	retry   spec.Retry

	each     bool   // each instance gets every event
	group    string // "" if each
	consumer string // the name of the consumer, without a partition

	runner subscriptionRunner
}

// subscriptionRunner takes the events of a subscription: from core NATS or from a stream.
type subscriptionRunner interface {
	workload
	of() *subscription
}

func (s *subscription) of() *subscription { return s }

func (s *subscription) led() bool { return false }

func newSubscription(srv *Server, service *spec.Service, h EventHandler, cfg *subscribeConfig, chain []Interceptor) (*subscription, error) {
	m := service.Method(string(h.name))
	if m == nil || m.Event == nil {
		return nil, fmt.Errorf("aegis: %s.%s is no event in the descriptor: the generated files of messages and services are of different versions; run buf generate",
			service.Name, h.name)
	}
	s := &subscription{server: srv, service: service, cfg: cfg, handler: h, method: m, event: m.Event, public: publicMethod(service, m, SideSubscriber)}
	s.name = s.public.FullName()
	s.handle = srv.cfg.redact.unary(srv.logger, wrapped(Interceptor.WrapUnary, h.handle, chain))
	s.retry = s.event.Redelivery
	if cfg.redelivery.MaxAttempts != 0 {
		s.retry = cfg.redelivery
	}
	s.each = cfg.mode == modeEachInstance || cfg.mode == modeOfProto && s.event.EachInstance
	return s, nil
}

// call runs the handler and counts it. It calls ended with the error of the handler.
func (s *subscription) call(ctx *eventContext, ev proto.Message, ended func(error)) {
	began := time.Now()
	s.stats.begin()
	s.server.guarded(s.name, func(err error) {
		s.stats.done(began, errorOrNil(err))
		ended(err)
	}, func() error {
		_, err := s.handle(ctx, ev)
		return err
	})
}

// read decodes an event. An event that cannot be read counts as failed.
func (s *subscription) read(msg *nats.Msg) (proto.Message, error) {
	ev := s.handler.message()
	if unreadable := readMessage(msg, ev); unreadable != nil {
		s.stats.refused(time.Now(), unreadable)
		return nil, unreadable
	}
	return ev, nil
}

// join decides the group, and with it the consumer and the runner.
func (s *subscription) join(services []*service) error {
	if s.each {
		s.consumer = wire.InstanceConsumer(s.server.cfg.instance, s.method.Name)
	} else {
		s.group = s.cfg.group
		if s.group == "" {
			s.group = s.event.Group
		}
		if s.group == "" {
			if len(services) != 1 {
				return fmt.Errorf("aegis: %s: which group is to compete for it? The server has %d services, so that none gives its name; "+
					"use aegis.Compete(\"name\"), or aegis.EachInstance()", s.public.FullName(), len(services))
			}
			s.group = wire.MicroName(services[0].desc.Name)
		}
		s.consumer = wire.GroupConsumer(s.group, s.method.Name)
	}
	if s.event.Durable {
		s.runner = newDurableRunner(s)
	} else {
		s.runner = newCoreRunner(s)
	}
	return nil
}

// context returns the context of one handler; a core event has no delivery.
func (s *subscription) context(msg *nats.Msg, d Delivery) *eventContext {
	ctx := &eventContext{
		Context:  s.server.base,
		call:     Call{method: s.public, instance: s.server.cfg.instance, attempt: max(d.Attempt, 1)},
		delivery: d,
	}
	if len(msg.Header) > 0 {
		ctx.call.incoming = func() Header {
			h, err := decodeHeader(msg.Header)
			if err != nil {
				return Header{} // no client writes a value that is not base64
			}
			return h
		}
	}
	return ctx
}

// who says for people which instances get an event.
func (s *subscription) who() string {
	if s.each {
		return "each instance for itself"
	}
	return "as a member of the group " + s.group
}

// concurrency returns how many handlers run at once.
func (s *subscription) concurrency() int {
	switch {
	case s.cfg.concurrency > 0:
		return s.cfg.concurrency
	case s.event.KeyField != nil:
		return s.event.Partitions
	default:
		return 1
	}
}

func (s *subscription) logger() *slog.Logger {
	return s.server.logger.With("event", s.public.FullName(), "consumer", s.consumer)
}

func (o StorageOption) applySubscribe(c *subscribeConfig) error {
	c.storage = o.storage
	return o.storage.checkEvents()
}
