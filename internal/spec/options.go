package spec

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoimpl"
	"google.golang.org/protobuf/types/descriptorpb"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// ServiceOptions returns the Aegis option of a service as it is written, without
// defaults. It is empty, not nil, if the service has none.
func ServiceOptions(desc protoreflect.ServiceDescriptor) (*aegisv1.ServiceOptions, error) {
	return readOptions[*aegisv1.ServiceOptions](desc, &descriptorpb.ServiceOptions{}, aegisv1.E_Service)
}

// MethodOptions returns the Aegis option of a method as it is written, without
// defaults. It is empty, not nil, if the method has none.
func MethodOptions(desc protoreflect.MethodDescriptor) (*aegisv1.MethodOptions, error) {
	return readOptions[*aegisv1.MethodOptions](desc, &descriptorpb.MethodOptions{}, aegisv1.E_Method)
}

// Options returns the Aegis options of a method and of its service as they are written,
// without defaults. They are empty, not nil, if there are none, if they cannot be read, and
// if the method is nil.
func Options(method protoreflect.MethodDescriptor) (*aegisv1.MethodOptions, *aegisv1.ServiceOptions) {
	ofMethod, ofService := &aegisv1.MethodOptions{}, &aegisv1.ServiceOptions{}
	if method == nil {
		return ofMethod, ofService
	}
	if opts, err := MethodOptions(method); err == nil {
		ofMethod = opts
	}
	if service, ok := method.Parent().(protoreflect.ServiceDescriptor); ok {
		if opts, err := ServiceOptions(service); err == nil {
			ofService = opts
		}
	}
	return ofMethod, ofService
}

// readOptions reads an extension of the options of a descriptor. It marshals the options
// and unmarshals them again, because a descriptor that was not linked into the program
// may hold the extension as unknown bytes or as a dynamic message.
func readOptions[T proto.Message](desc protoreflect.Descriptor, into proto.Message, ext *protoimpl.ExtensionInfo) (T, error) {
	opts := desc.Options()
	if opts != nil && opts.ProtoReflect().IsValid() {
		data, err := proto.MarshalOptions{AllowPartial: true}.Marshal(opts)
		if err == nil {
			err = proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(data, into)
		}
		if err != nil {
			var none T
			return none, fmt.Errorf("the options of %s cannot be read: %w", desc.FullName(), err)
		}
	}
	value, _ := proto.GetExtension(into, ext).(T)
	if !value.ProtoReflect().IsValid() {
		value, _ = ext.New().Message().Interface().(T)
	}
	return value, nil
}

// unknownFields reports fields that this version does not know: they come from a newer
// options.proto, and ignoring them would leave an option without effect.
func (c *checker) unknownFields(p Place, m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		c.addf(p, "this version of Aegis does not know all of its fields; "+
			"update protoc-gen-aegis and the module github.com/aegisrpc/aegis, or write the options.proto of this version with protoc-gen-aegis --export-protos")
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() != nil && !field.IsList() && !field.IsMap() {
			c.unknownFields(p.Field(field.Name()), value.Message())
		}
		return true
	})
}
