package spec

import (
	"math"
	"regexp"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// DefaultGroup is the group of single active methods and commands whose options name
// none.
const DefaultGroup = "default"

// groupName matches names that can be a token of a NATS subject and a part of a key.
var groupName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// methodContext is a method while it is checked, with everything that its checks read.
type methodContext struct {
	*Method
	service *serviceContext
	at      Place
	opts    *aegisv1.MethodOptions
}

func (c *checker) method(desc protoreflect.MethodDescriptor, sc *serviceContext) *Method {
	at := AtOptions(desc)
	opts, err := MethodOptions(desc)
	if err != nil {
		c.addf(at, "%v; write it as aegis/v1/options.proto declares it", err)
		return nil
	}
	c.unknownFields(at, opts.ProtoReflect())
	c.methodName(desc)
	mc := &methodContext{
		Method: &Method{
			Desc:       desc,
			Name:       string(desc.Name()),
			Idempotent: IdempotencyLevel(desc) != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN,
			Retry:      neverRetried,
		},
		service: sc,
		at:      at,
		opts:    opts,
	}
	c.pattern(mc)
	c.timeout(mc)
	c.callRetry(mc)
	c.maxMessageBytes(mc)
	return mc.Method
}

// decide sets the pattern: at is the option that says so.
func (m *methodContext) decide(p Pattern, at Place) {
	m.Pattern, m.PatternPlace = p, at
}

func (c *checker) methodName(desc protoreflect.MethodDescriptor) {
	// The service's own name is checked with the service: one problem is enough.
	if name := desc.FullName(); len(name) > MaxNameLength && len(name.Parent()) <= MaxNameLength {
		c.addf(At(desc), "the full name of the method has %d characters, and subjects made of it would be too long; "+
			"shorten the names of package, service and method to %d in all", len(name), MaxNameLength)
	}
}

// IdempotencyLevel returns the option idempotency_level of a method as it is written;
// IDEMPOTENCY_UNKNOWN for nil.
func IdempotencyLevel(desc protoreflect.MethodDescriptor) descriptorpb.MethodOptions_IdempotencyLevel {
	if desc == nil {
		return descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	}
	opts, _ := desc.Options().(*descriptorpb.MethodOptions)
	return opts.GetIdempotencyLevel()
}

// pattern decides the pattern and checks the options inside it.
func (c *checker) pattern(m *methodContext) {
	switch pattern := m.opts.GetPattern().(type) {
	case *aegisv1.MethodOptions_LoadBalanced:
		c.loadBalanced(m, m.at.Field("load_balanced"), pattern.LoadBalanced)
	case *aegisv1.MethodOptions_SingleActive:
		c.singleActive(m, m.at.Field("single_active"), pattern.SingleActive)
	case *aegisv1.MethodOptions_Broadcast:
		m.decide(Broadcast, m.at.Field("broadcast"))
		c.unaryOnly(m, m.PatternPlace, "a broadcast")
	case *aegisv1.MethodOptions_Event:
		c.event(m, m.at.Field("event"), pattern.Event)
	case *aegisv1.MethodOptions_Command:
		c.command(m, m.at.Field("command"), pattern.Command)
	default:
		c.defaultPattern(m)
	}
}

// defaultPattern decides the pattern of a method that has no option for it: a unary
// method gets the service's default, and a stream is load balanced.
func (c *checker) defaultPattern(m *methodContext) {
	m.decide(LoadBalanced, m.at)
	if m.Streaming() {
		return
	}
	switch pattern := m.service.opts.GetDefaultPattern().(type) {
	case *aegisv1.ServiceOptions_LoadBalanced:
		c.loadBalanced(m, m.service.at.Field("load_balanced"), pattern.LoadBalanced)
	case *aegisv1.ServiceOptions_SingleActive:
		m.decide(SingleActive, m.service.at.Field("single_active"))
		// The group's name is checked with the service.
		m.Group = orDefault(pattern.SingleActive.GetGroup())
	}
}

func (c *checker) loadBalanced(m *methodContext, at Place, opts *aegisv1.LoadBalanced) {
	m.decide(LoadBalanced, at)
	m.PreferZone = opts.GetPreferZone()
	path := opts.GetStickyField()
	if path == "" {
		return
	}
	if m.PreferZone {
		c.addf(at.Field("prefer_zone"), "sticky_field decides which instance of %s is called, in whichever zone it is; leave one of the two out", m.Desc.Name())
	}
	at = at.Field("sticky_field")
	if m.Desc.IsStreamingClient() {
		c.addf(at, "%s opens its stream before there is a request to read the field from; leave it out, and pass the key with the call", m.Desc.Name())
		return
	}
	m.StickyField = c.fieldPath(at, path, m.Desc.Input())
}

func (c *checker) singleActive(m *methodContext, at Place, opts *aegisv1.SingleActive) {
	m.decide(SingleActive, at)
	if m.Desc.IsStreamingClient() {
		c.addf(at, "the requests of a single active method are not a stream, but those of %s are; "+
			"write a unary or a server-streaming method, or leave the option out", m.Desc.Name())
	}
	m.Group = c.group(at.Field("group"), opts.GetGroup())
}

// group checks the name of a group and returns it, or the default for "".
func (c *checker) group(at Place, name string) string {
	if name != "" && !groupName.MatchString(name) {
		c.addf(at, "%q is not a group; write 1 to 64 characters of A-Z a-z 0-9 _ -", name)
	}
	return orDefault(name)
}

func orDefault(group string) string {
	if group == "" {
		return DefaultGroup
	}
	return group
}

// unaryOnly refuses a stream. pattern names the pattern with its article.
func (c *checker) unaryOnly(m *methodContext, at Place, pattern string) {
	if m.Streaming() {
		c.addf(at, "%s is not a stream, but %s is; remove the word stream from the method, or leave the option out", pattern, m.Desc.Name())
	}
}

func (c *checker) timeout(m *methodContext) {
	at := m.at.Field("timeout")
	opt := m.opts.GetTimeout()
	switch m.Pattern {
	case Event:
		if opt != nil {
			c.addf(at, "nobody waits for the subscribers of an event; leave it out")
		}
	case Command:
		if opt != nil {
			c.addf(at, "a command is not waited for; leave it out, or write command: {attempt_timeout: ...} for how long one attempt may take")
		}
	case LoadBalanced, SingleActive, Broadcast:
		byDefault := m.service.timeout
		if m.Streaming() {
			byDefault = 0
		}
		m.Timeout = c.duration(at, opt, timeoutRange, byDefault)
	}
}

// callRetry checks the option retry of a method, which is about calls: events and
// commands have options of their own.
func (c *checker) callRetry(m *methodContext) {
	at := m.at.Field("retry")
	retried := !m.Streaming() && (m.Pattern == LoadBalanced || m.Pattern == SingleActive)
	switch {
	case retried:
		m.Retry = c.retry(at, m.opts.GetRetry(), defaultCallAttempts)
	case m.opts.GetRetry() == nil:
	case m.Pattern == Event:
		c.addf(at, "publishing is not retried; leave it out, or write event: {redelivery: ...} for what happens when a handler fails")
	case m.Pattern == Command:
		c.addf(at, "the retries of a command are part of its pattern; write command: {retry: ...} instead")
	case m.Pattern == Broadcast:
		c.addf(at, "a broadcast is not retried, as some instances may have handled it; leave it out")
	default:
		c.addf(at, "a stream is not retried, as part of it may have been handled; leave it out")
	}
}

func (c *checker) maxMessageBytes(m *methodContext) {
	if m.opts.MaxMessageBytes == nil {
		return
	}
	at := m.at.Field("max_message_bytes")
	if m.Pattern != LoadBalanced && m.Pattern != SingleActive {
		c.addf(at, "only the messages of load balanced and single active methods travel in chunks; leave it out, or choose another pattern")
		return
	}
	m.MaxMessageBytes = int(c.integer(at, m.opts.GetMaxMessageBytes(), math.MaxInt32))
}
