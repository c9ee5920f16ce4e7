package spec

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// fieldPath resolves a dotted path to a singular scalar or enum field of a request. It
// returns the fields on the path; nil if there is a mistake.
func (c *checker) fieldPath(at Place, path string, request protoreflect.MessageDescriptor) []protoreflect.FieldDescriptor {
	const instead = "write a singular scalar or enum field, or a dotted path to one"
	var fields []protoreflect.FieldDescriptor
	message := request
	for name := range strings.SplitSeq(path, ".") {
		if message == nil {
			c.addf(at, "%q goes through %s, which is not a message; %s", path, fields[len(fields)-1].FullName(), instead)
			return nil
		}
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			c.addf(at, "%q is not a field of %s: %s has no field %q; %s", path, request.FullName(), message.FullName(), name, instead)
			return nil
		}
		if field.Cardinality() == protoreflect.Repeated {
			c.addf(at, "%q goes through %s, which is repeated; %s", path, field.FullName(), instead)
			return nil
		}
		fields = append(fields, field)
		message = field.Message()
	}
	if message != nil {
		c.addf(at, "%q is a message, %s; %s", path, message.FullName(), instead)
		return nil
	}
	return fields
}
