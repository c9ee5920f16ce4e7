package descset_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

func TestSetIsReadBackWithOptionsAndComments(t *testing.T) {
	t.Parallel()
	service := orderv1.File_order_v1_order_proto.Services().ByName("OrderService")
	made, err := descset.Of(service,
		descset.Comment{Name: "OrderService", Text: "Takes orders.\n\nMany."},
		descset.Comment{Name: "OrderService.PlaceOrder", Text: "Places one."},
		descset.Comment{Name: "NoSuchThing", Text: "x"},
	)
	require.NoError(t, err)
	require.True(t, descset.ValidHash(made.Hash()))
	again, err := descset.Of(service)
	require.NoError(t, err)
	require.NotEqual(t, made.Hash(), again.Hash(), "comments are a part of the set")

	read, err := descset.Decode(made.Encoded(), made.Hash())
	require.NoError(t, err)
	require.Equal(t, made.Hash(), read.Hash())
	require.Equal(t, made.Encoded(), read.Encoded())

	got, err := read.Service("order.v1.OrderService")
	require.NoError(t, err)
	locations := got.ParentFile().SourceLocations()
	require.Equal(t, " Takes orders.\n\n Many.\n", locations.ByDescriptor(got).LeadingComments)
	require.Equal(t, " Places one.\n", locations.ByDescriptor(got.Methods().ByName("PlaceOrder")).LeadingComments)
	require.Equal(t, 2, locations.Len())
	require.True(t, proto.Equal(protodesc.ToServiceDescriptorProto(service), protodesc.ToServiceDescriptorProto(got)))

	remade, err := descset.Of(got)
	require.NoError(t, err)
	require.Equal(t, made.Hash(), remade.Hash(), "a set that is made of another one is the same")

	want, err := spec.FromDescriptor(service)
	require.NoError(t, err)
	specs, err := spec.FromDescriptor(got)
	require.NoError(t, err)
	require.Equal(t, want.Version, specs.Version)
	for i, m := range specs.Methods {
		require.Equal(t, want.Methods[i].Pattern, m.Pattern, m.Name)
		require.Equal(t, want.Methods[i].Timeout, m.Timeout, m.Name)
	}
	_, err = read.Service("order.v1.Nobody")
	require.ErrorContains(t, err, "no service order.v1.Nobody")
	_, err = read.Service(string(got.Methods().Get(0).Input().FullName()))
	require.ErrorContains(t, err, "is no service")
}

// Each declaration of the file gets its own comment.
func TestCommentsFindTheirDeclarations(t *testing.T) {
	t.Parallel()
	file := orderv1.File_order_v1_order_proto
	var comments []descset.Comment
	inPackage := len(file.Package()) + 1
	forEach(file, func(d protoreflect.Descriptor) {
		comments = append(comments, descset.Comment{Name: string(d.FullName())[inPackage:], Text: string(d.FullName())})
	})
	require.Greater(t, len(comments), 20)
	set, err := descset.Of(file.Services().Get(0), comments...)
	require.NoError(t, err)
	files, err := set.Files()
	require.NoError(t, err)
	read, err := files.FindFileByPath(file.Path())
	require.NoError(t, err)
	forEach(read, func(d protoreflect.Descriptor) {
		require.Equal(t, " "+string(d.FullName())+"\n", read.SourceLocations().ByDescriptor(d).LeadingComments)
	})
}

func forEach(file protoreflect.FileDescriptor, do func(protoreflect.Descriptor)) {
	enums := func(list protoreflect.EnumDescriptors) {
		for i := range list.Len() {
			do(list.Get(i))
			for j := range list.Get(i).Values().Len() {
				do(list.Get(i).Values().Get(j))
			}
		}
	}
	var messages func(list protoreflect.MessageDescriptors)
	messages = func(list protoreflect.MessageDescriptors) {
		for i := range list.Len() {
			m := list.Get(i)
			do(m)
			for j := range m.Fields().Len() {
				do(m.Fields().Get(j))
			}
			for j := range m.Oneofs().Len() {
				do(m.Oneofs().Get(j))
			}
			enums(m.Enums())
			messages(m.Messages())
		}
	}
	enums(file.Enums())
	messages(file.Messages())
	for i := range file.Services().Len() {
		do(file.Services().Get(i))
		for j := range file.Services().Get(i).Methods().Len() {
			do(file.Services().Get(i).Methods().Get(j))
		}
	}
}
