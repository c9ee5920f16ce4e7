package descset

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Comment is the comment of a declaration.
type Comment struct {
	Name string // the full name of the declaration without the package of its file: OrderService.PlaceOrder
	Text string // lines without the slashes and the space behind them
}

// leading returns the text as compilers write it into the source information of a file.
func (c *Comment) leading() string {
	var b strings.Builder
	for line := range strings.SplitSeq(c.Text, "\n") {
		if line != "" {
			b.WriteString(" ")
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// The numbers of the fields of descriptor.proto that make up the path to a declaration.
const (
	fileMessages, fileEnums, fileServices                     = 4, 5, 6
	messageFields, messageNested, messageEnums, messageOneofs = 2, 3, 4, 8
	enumValues, serviceMethods                                = 2, 2
)

// locator finds the comments of the declarations of a file.
type locator struct {
	texts map[string]string // by name
	info  descriptorpb.SourceCodeInfo
}

// sourceInfo returns the comments as the source information of a file; nil if there are
// none. The positions are all zero, as nobody knows them any more.
func sourceInfo(file protoreflect.FileDescriptor, comments []Comment) *descriptorpb.SourceCodeInfo {
	if len(comments) == 0 {
		return nil
	}
	l := &locator{texts: make(map[string]string, len(comments))}
	for _, c := range comments {
		l.texts[c.Name] = c.leading()
	}
	l.messages(nil, fileMessages, file.Messages())
	l.enums(nil, fileEnums, file.Enums())
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		path := l.locate(nil, fileServices, service)
		for j := range service.Methods().Len() {
			l.locate(path, serviceMethods, service.Methods().Get(j))
		}
	}
	if len(l.info.GetLocation()) == 0 {
		return nil
	}
	return &l.info
}

// locate adds the comment of a declaration, if it has one, and returns the path to it.
func (l *locator) locate(parent []int32, number int32, desc protoreflect.Descriptor) []int32 {
	path := slices.Concat(parent, []int32{number, int32(desc.Index())})
	if text, ok := l.texts[nameInFile(desc)]; ok {
		l.info.Location = append(l.info.Location, &descriptorpb.SourceCodeInfo_Location{
			Path: path, Span: []int32{0, 0, 0}, LeadingComments: &text,
		})
	}
	return path
}

func (l *locator) messages(parent []int32, number int32, messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		message := messages.Get(i)
		path := l.locate(parent, number, message)
		for j := range message.Fields().Len() {
			l.locate(path, messageFields, message.Fields().Get(j))
		}
		for j := range message.Oneofs().Len() {
			l.locate(path, messageOneofs, message.Oneofs().Get(j))
		}
		l.messages(path, messageNested, message.Messages())
		l.enums(path, messageEnums, message.Enums())
	}
}

func (l *locator) enums(parent []int32, number int32, enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		enum := enums.Get(i)
		path := l.locate(parent, number, enum)
		for j := range enum.Values().Len() {
			l.locate(path, enumValues, enum.Values().Get(j))
		}
	}
}

// nameInFile returns the full name of a declaration without the package.
func nameInFile(desc protoreflect.Descriptor) string {
	name := string(desc.FullName())
	if pkg := desc.ParentFile().Package(); pkg != "" {
		return name[len(pkg)+1:]
	}
	return name
}
