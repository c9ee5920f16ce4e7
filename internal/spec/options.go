package spec

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoimpl"
	"google.golang.org/protobuf/types/descriptorpb"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// ServiceOptions returns the Aegis option of a service, as it was written; an
// empty one where there is none.
func ServiceOptions(desc protoreflect.ServiceDescriptor) (*aegisv1.ServiceOptions, error) {
	return readOptions[*aegisv1.ServiceOptions](desc, &descriptorpb.ServiceOptions{}, aegisv1.E_Service)
}

// MethodOptions returns the Aegis option of a method, as it was written; an
// empty one where there is none.
func MethodOptions(desc protoreflect.MethodDescriptor) (*aegisv1.MethodOptions, error) {
	return readOptions[*aegisv1.MethodOptions](desc, &descriptorpb.MethodOptions{}, aegisv1.E_Method)
}

// readOptions goes over the wire format, as a descriptor that came from
// somewhere else may hold the option as unknown bytes or as a dynamic message.
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

// unknownFields finds fields that this version does not know. They come from a
// newer options.proto, and would otherwise be an option without effect.
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
