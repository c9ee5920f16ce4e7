package codegen

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
)

// notYet names the options that mean something but have no effect yet. An
// option that is read and does nothing would be worse than an error.
var notYet = map[string]bool{
	"(aegis.v1.service).command_storage": true,
	"(aegis.v1.method).command":          true,
}

// unsupported returns a problem for each thing in a service that cannot be
// generated yet.
func unsupported(service protoreflect.ServiceDescriptor) []*spec.Problem {
	var found []*spec.Problem
	if opts, err := spec.ServiceOptions(service); err == nil {
		found = append(found, unsupportedOptions(spec.AtOptions(service), opts)...)
	}
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		if opts, err := spec.MethodOptions(method); err == nil {
			found = append(found, unsupportedOptions(spec.AtOptions(method), opts)...)
		}
	}
	return found
}

func unsupportedOptions(at spec.Place, opts proto.Message) []*spec.Problem {
	var found []*spec.Problem
	opts.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		here := at.Field(field.Name())
		switch {
		case notYet[here.Option()]:
			found = append(found, here.Problem("this version of protoc-gen-aegis cannot generate it yet; leave it out"))
		case field.Message() != nil:
			found = append(found, unsupportedOptions(here, value.Message().Interface())...)
		}
		return true
	})
	return found
}
