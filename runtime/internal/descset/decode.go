package descset

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The limits of a set that somebody else has made. They are far above what services have,
// and bound what a hostile set can cost in memory and time.
const (
	maxUnpacked = 32 << 20 // bytes
	maxMessages = 1 << 18  // declarations, options and the like
	maxDepth    = 100      // of messages inside messages
	maxName     = 4 << 10  // bytes of a full name
	maxNames    = 64 << 20 // bytes of all full names
	maxImports  = 1 << 20  // imports, and public imports through them
)

// Decode reads the encoded form of a set whose hash the caller knows; an empty hash stands
// for any. It refuses what is no valid set, and never panics.
func Decode(data []byte, hash string) (*Set, error) {
	actual := hashOf(data)
	if hash != "" && hash != actual {
		return nil, fmt.Errorf("the descriptors have the hash %s, not %q", actual, hash)
	}
	set, err := described(data)
	if err != nil {
		return nil, err
	}
	s := newSet(bytes.Clone(data), func() (*descriptorpb.FileDescriptorSet, error) { return set, nil })
	if _, err := s.Files(); err != nil {
		return nil, err
	}
	return s, nil
}

// described unpacks the encoded form of a set.
func described(data []byte) (*descriptorpb.FileDescriptorSet, error) {
	plain, err := unpack(data)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := checkSize(plain, set.ProtoReflect().Descriptor()); err != nil {
		return nil, err
	}
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(plain, set); err != nil {
		return nil, fmt.Errorf("the descriptors are no FileDescriptorSet: %w", err)
	}
	return set, checkFiles(set.GetFile())
}

func unpack(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("the descriptors are not in gzip: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("the descriptors are not in gzip: %w", err)
	}
	if len(plain) > maxUnpacked {
		return nil, fmt.Errorf("the descriptors have more than %d bytes", maxUnpacked)
	}
	return plain, nil
}

// checkSize bounds the memory that messages take once they are unmarshalled, which may be
// a hundred times that of their bytes.
func checkSize(plain []byte, set protoreflect.MessageDescriptor) error {
	messages := 0
	var walk func(b []byte, desc protoreflect.MessageDescriptor, depth int) error
	walk = func(b []byte, desc protoreflect.MessageDescriptor, depth int) error {
		if messages++; messages > maxMessages || depth > maxDepth {
			return fmt.Errorf("the descriptors have more than %d declarations, or more than %d within each other", maxMessages, maxDepth)
		}
		for len(b) > 0 {
			number, kind, n := protowire.ConsumeTag(b)
			if n < 0 {
				return errors.New("the descriptors are no FileDescriptorSet")
			}
			size := protowire.ConsumeFieldValue(number, kind, b[n:])
			if size < 0 {
				return errors.New("the descriptors are no FileDescriptorSet")
			}
			if inner := messageOf(desc, number); kind == protowire.BytesType && inner != nil {
				value, _ := protowire.ConsumeBytes(b[n:])
				if err := walk(value, inner, depth+1); err != nil {
					return err
				}
			}
			b = b[n+size:]
		}
		return nil
	}
	return walk(plain, set, 0)
}

// messageOf returns the type of the messages in a field; nil if it has others, or if
// nothing is known of it.
func messageOf(desc protoreflect.MessageDescriptor, number protowire.Number) protoreflect.MessageDescriptor {
	if field := desc.Fields().ByNumber(number); field != nil {
		return field.Message()
	}
	extension, err := protoregistry.GlobalTypes.FindExtensionByNumber(desc.FullName(), number)
	if err != nil {
		return nil
	}
	return extension.TypeDescriptor().Message()
}

// checkFiles checks what protodesc takes much time for, or does not check at all.
func checkFiles(files []*descriptorpb.FileDescriptorProto) error {
	ways := make(map[string]int, len(files)) // along public imports, by path
	walked := 0
	var names nameChecker
	for _, file := range files {
		if _, twice := ways[file.GetName()]; twice {
			return fmt.Errorf("the descriptors have the file %q twice", file.GetName())
		}
		public := make(map[int32]bool, len(file.GetPublicDependency()))
		for _, i := range file.GetPublicDependency() {
			public[i] = true
		}
		total := 1
		for i, dependency := range file.GetDependency() {
			n, ok := ways[dependency]
			if !ok {
				return fmt.Errorf("the descriptors lack the file %q, or have it behind %q, which imports it", dependency, file.GetName())
			}
			if public[int32(i)] {
				total += n
			}
			if walked += n; walked > maxImports {
				return errors.New("the descriptors have too many imports")
			}
		}
		ways[file.GetName()] = total
		names.file(file)
	}
	return names.err
}

// nameChecker bounds the full names of declarations, and refuses references that are
// relative, for which protodesc would search every scope.
type nameChecker struct {
	total int
	err   error
}

func (c *nameChecker) file(file *descriptorpb.FileDescriptorProto) {
	scope := len(file.GetPackage()) + 1
	for _, message := range file.GetMessageType() {
		c.message(scope, message)
	}
	for _, enum := range file.GetEnumType() {
		c.enum(scope, enum)
	}
	for _, extension := range file.GetExtension() {
		c.field(scope, extension)
	}
	for _, service := range file.GetService() {
		inner := c.declare(scope, service.GetName())
		for _, method := range service.GetMethod() {
			c.declare(inner, method.GetName())
			c.refer(method.GetInputType())
			c.refer(method.GetOutputType())
		}
	}
}

func (c *nameChecker) message(scope int, message *descriptorpb.DescriptorProto) {
	inner := c.declare(scope, message.GetName())
	for _, field := range message.GetField() {
		c.field(inner, field)
	}
	for _, oneof := range message.GetOneofDecl() {
		c.declare(inner, oneof.GetName())
	}
	for _, nested := range message.GetNestedType() {
		c.message(inner, nested)
	}
	for _, enum := range message.GetEnumType() {
		c.enum(inner, enum)
	}
	for _, extension := range message.GetExtension() {
		c.field(inner, extension)
	}
}

func (c *nameChecker) enum(scope int, enum *descriptorpb.EnumDescriptorProto) {
	c.declare(scope, enum.GetName())
	for _, value := range enum.GetValue() {
		c.declare(scope, value.GetName())
	}
}

func (c *nameChecker) field(scope int, field *descriptorpb.FieldDescriptorProto) {
	c.declare(scope, field.GetName())
	c.refer(field.GetTypeName())
	c.refer(field.GetExtendee())
}

// declare counts the full name of a declaration, and returns the length of the scope that
// the declaration is. scope is the length of the name around it with a dot.
func (c *nameChecker) declare(scope int, name string) int {
	full := scope + len(name)
	c.total += full
	if full > maxName || c.total > maxNames {
		c.fail("the names in the descriptors are too long")
	}
	return full + 1
}

func (c *nameChecker) refer(name string) {
	if name != "" && !strings.HasPrefix(name, ".") {
		c.fail("the descriptors refer to a type without its full name")
	}
}

func (c *nameChecker) fail(text string) {
	if c.err == nil {
		c.err = errors.New(text)
	}
}
