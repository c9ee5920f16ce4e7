package aegisotel

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/aegisrpc/aegis/internal/spec"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// System is the value of rpc.system.name.
const System = "aegis"

// messagingSystem is the value of messaging.system.
const messagingSystem = "nats"

// Attributes beside those of the conventions.
const (
	// InstanceKey is the name of the instance that serves a call.
	InstanceKey = attribute.Key("aegis.instance")
	// AttemptKey is which attempt of its client a call is, from 2 on.
	AttemptKey = attribute.Key("aegis.attempt")
	// ReasonKey is why the runtime, and not a handler, failed a call, such as
	// OVERLOADED.
	ReasonKey = attribute.Key("aegis.reason")
)

// method is what all spans of a method have in common.
type method struct {
	name       string // of spans
	kind       trace.SpanKind
	message    bool   // an event or a command
	operation  string // on it
	attributes []attribute.KeyValue
}

func newMethod(s aegis.Spec, server bool) *method {
	name := s.Service + "/" + s.Method
	if isMessage(s) {
		return messageMethod(name, server)
	}
	m := &method{name: name, kind: trace.SpanKindClient}
	if server {
		m.kind = trace.SpanKindServer
	}
	m.attributes = []attribute.KeyValue{semconv.RPCSystemNameKey.String(System), semconv.RPCMethod(name)}
	return m
}

// messageMethod is that of an event or a command: what is published is not
// answered.
func messageMethod(name string, server bool) *method {
	m := &method{message: true, kind: trace.SpanKindProducer, operation: "publish"}
	operation := semconv.MessagingOperationTypeSend
	if server {
		m.kind, m.operation = trace.SpanKindConsumer, "process"
		operation = semconv.MessagingOperationTypeProcess
	}
	m.name = m.operation + " " + name
	m.attributes = []attribute.KeyValue{
		semconv.MessagingSystemKey.String(messagingSystem),
		semconv.MessagingDestinationName(strings.Replace(name, "/", ".", 1)),
		semconv.MessagingOperationName(m.operation), operation,
	}
	return m
}

func isMessage(s aegis.Spec) bool {
	if s.Descriptor == nil {
		return false
	}
	opts, err := spec.MethodOptions(s.Descriptor)
	if err != nil {
		return false
	}
	switch opts.GetPattern().(type) {
	case *aegisv1.MethodOptions_Event, *aegisv1.MethodOptions_Command:
		return true
	default:
		return false
	}
}

// serverAttributes are those of one call at its server.
func serverAttributes(call *aegis.Call) []attribute.KeyValue {
	attributes := []attribute.KeyValue{InstanceKey.String(call.Instance())}
	if call.Attempt() > 1 {
		attributes = append(attributes, AttemptKey.Int(call.Attempt()))
	}
	return attributes
}
