package aegisotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// System is the value of rpc.system.name.
const System = "aegis"

// messagingSystem is the value of messaging.system.
const messagingSystem = "nats"

// Keys of attributes that the conventions do not have.
const (
	// InstanceKey is the name of the instance that serves a call.
	InstanceKey = attribute.Key("aegis.instance")
	// AttemptKey is the number of the client's attempt that a call is, from 2 on.
	AttemptKey = attribute.Key("aegis.attempt")
	// ReasonKey is the reason for which the runtime, and not a handler, has failed a call,
	// such as OVERLOADED.
	ReasonKey = attribute.Key("aegis.reason")
)

// method has the properties that all spans of a method share.
type method struct {
	name       string // of spans
	kind       trace.SpanKind
	message    bool // an event or a command
	attributes []attribute.KeyValue
}

func newMethod(s aegis.Method, server bool) *method {
	if sending := sendingOf(s); sending != "" {
		return messageMethod(s.Service+"."+s.Name, sending, server)
	}
	m := &method{name: System, kind: trace.SpanKindClient}
	if server {
		m.kind = trace.SpanKindServer
	}
	m.attributes = []attribute.KeyValue{semconv.RPCSystemNameKey.String(System)}
	if s.Name != "" { // else it is not known
		m.name = s.Service + "/" + s.Name
		m.attributes = append(m.attributes, semconv.RPCMethod(m.name))
	}
	return m
}

// messageMethod returns the method of an event or a command, which are messages that are
// not answered.
func messageMethod(destination, sending string, server bool) *method {
	m := &method{message: true, kind: trace.SpanKindProducer}
	operation, kind := sending, semconv.MessagingOperationTypeSend
	if server {
		m.kind = trace.SpanKindConsumer
		operation, kind = "process", semconv.MessagingOperationTypeProcess
	}
	m.name = operation + " " + destination
	m.attributes = []attribute.KeyValue{
		semconv.MessagingSystemKey.String(messagingSystem),
		semconv.MessagingDestinationName(destination),
		semconv.MessagingOperationName(operation), kind,
	}
	return m
}

// sendingOf returns the name of the operation that sends a message of a method; "" for
// calls.
func sendingOf(s aegis.Method) string {
	switch s.Pattern() {
	case aegis.PatternEvent:
		return "publish"
	case aegis.PatternCommand:
		return "send"
	case aegis.PatternLoadBalanced, aegis.PatternSingleActive, aegis.PatternBroadcast:
		return ""
	default: // not known
		return ""
	}
}

// serverAttributes returns the attributes of one call, or one message, at its server.
func serverAttributes(ctx context.Context, call *aegis.Call) []attribute.KeyValue {
	attributes := []attribute.KeyValue{InstanceKey.String(call.Instance())}
	if call.Attempt() > 1 {
		attributes = append(attributes, AttemptKey.Int(call.Attempt()))
	}
	if job, ok := aegis.JobFromContext(ctx); ok {
		attributes = append(attributes, semconv.MessagingMessageID(job.ID))
	}
	return attributes
}
