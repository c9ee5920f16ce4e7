package descset_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegistestv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
)

// packed returns bytes as a set is encoded.
func packed(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// set returns the bytes of a set with these files.
func set(t testing.TB, files ...*descriptorpb.FileDescriptorProto) []byte {
	t.Helper()
	plain, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: files})
	require.NoError(t, err)
	return plain
}

// file returns a file that imports others.
func file(name string, imports ...string) *descriptorpb.FileDescriptorProto {
	return &descriptorpb.FileDescriptorProto{Name: &name, Syntax: proto.String("proto3"), Dependency: imports}
}

// message returns a message with a field of another type.
func message(name, fieldType string) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: &name}
	if fieldType != "" {
		m.Field = []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("f"), Number: proto.Int32(1), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: &fieldType,
		}}
	}
	return m
}

func withMessages(f *descriptorpb.FileDescriptorProto, messages ...*descriptorpb.DescriptorProto) *descriptorpb.FileDescriptorProto {
	f.MessageType = messages
	return f
}

// publicly makes all imports of a file public.
func publicly(f *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	for i := range f.GetDependency() {
		f.PublicDependency = append(f.PublicDependency, int32(i))
	}
	return f
}

// A set that somebody has sent is refused, quickly, if it is none.
func TestLiesAreRefused(t *testing.T) {
	t.Parallel()
	deep := message("M", "")
	for range 200 {
		deep = &descriptorpb.DescriptorProto{Name: proto.String("M"), NestedType: []*descriptorpb.DescriptorProto{deep}}
	}
	long := withMessages(file("long.proto"))
	long.Package = proto.String(strings.Repeat("a", 4000))
	for i := range 20_000 {
		long.MessageType = append(long.MessageType, message(fmt.Sprintf("M%d", i), ""))
	}
	// protodesc walks public imports along every way, of which there are 2^40 here.
	diamonds := []*descriptorpb.FileDescriptorProto{file("a0"), file("b0")}
	for i := range 40 {
		down := []string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)}
		diamonds = append(diamonds, publicly(file(fmt.Sprintf("a%d", i+1), down...)), publicly(file(fmt.Sprintf("b%d", i+1), down...)))
	}
	edition := file("e.proto")
	edition.Syntax, edition.Edition = proto.String("editions"), descriptorpb.Edition(99_999).Enum()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":             {nil, "not in gzip"},
		"not packed":        {[]byte("x"), "not in gzip"},
		"cut":               {packed(t, make([]byte, 1000))[:20], "not in gzip"},
		"with a tail":       {append(packed(t, nil), "tail"...), "not in gzip"},
		"a bomb":            {packed(t, make([]byte, 64<<20)), "more than 33554432 bytes"},
		"no set":            {packed(t, []byte("xxxxx")), "no FileDescriptorSet"},
		"many files":        {packed(t, bytes.Repeat([]byte{0x0a, 0}, 1<<19)), "more than 262144 declarations"},
		"deep":              {packed(t, set(t, withMessages(file("d.proto"), deep))), "more than 100 within each other"},
		"long names":        {packed(t, set(t, long)), "too long"},
		"a longer name":     {packed(t, set(t, withMessages(file("l.proto"), message(strings.Repeat("M", 5000), "")))), "too long"},
		"a file twice":      {packed(t, set(t, file("a.proto"), file("a.proto"))), "twice"},
		"a lacking file":    {packed(t, set(t, file("a.proto", "b.proto"))), `lack the file "b.proto"`},
		"another order":     {packed(t, set(t, file("a.proto", "b.proto"), file("b.proto"))), `behind "a.proto"`},
		"a circle":          {packed(t, set(t, file("a.proto", "b.proto"), file("b.proto", "a.proto"))), "lack the file"},
		"public imports":    {packed(t, set(t, diamonds...)), "too many imports"},
		"a relative type":   {packed(t, set(t, withMessages(file("r.proto"), message("M", "M")))), "without its full name"},
		"an unknown type":   {packed(t, set(t, withMessages(file("u.proto"), message("M", ".N")))), "N"},
		"a name twice":      {packed(t, set(t, withMessages(file("n.proto"), message("M", ""), message("M", "")))), "M"},
		"no name of a file": {packed(t, set(t, file(""))), "path must be populated"},
		"a later edition":   {packed(t, set(t, edition)), "not yet supported"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := descset.Decode(c.data, "")
			require.ErrorContains(t, err, c.want)
			require.Less(t, time.Since(began), 20*time.Second)
		})
	}
	_, err := descset.Decode(packed(t, nil), strings.Repeat("0", 32))
	require.ErrorContains(t, err, "have the hash")
}

func TestValidHash(t *testing.T) {
	t.Parallel()
	for hash, valid := range map[string]bool{
		"0123456789abcdef0123456789abcdef": true, "": false, "any": false,
		"0123456789ABCDEF0123456789abcdef": false, "0123456789abcdef0123456789abcde": false, "0123456789abcdef0123456789abcdeg": false,
	} {
		require.Equal(t, valid, descset.ValidHash(hash), hash)
	}
}

func services() []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	for _, f := range []protoreflect.FileDescriptor{
		echov1.File_echo_v1_echo_proto, orderv1.File_order_v1_order_proto,
		aegistestv1.File_aegistest_v1_testing_proto, aegistestv1.File_aegistest_v1_events_proto, aegistestv1.File_aegistest_v1_commands_proto,
	} {
		for i := range f.Services().Len() {
			all = append(all, f.Services().Get(i))
		}
	}
	return all
}

// Every service of this repository survives the way over the wire.
func TestSetsComeBack(t *testing.T) {
	t.Parallel()
	for _, service := range services() {
		made, err := descset.Of(service, descset.Comment{Name: string(service.Name()), Text: "A service."})
		require.NoError(t, err, service.FullName())
		again, err := descset.Of(service, descset.Comment{Name: string(service.Name()), Text: "A service."})
		require.NoError(t, err)
		require.Equal(t, made.Encoded(), again.Encoded())
		comesBack(t, made)
	}
}

// comesBack checks that a set is the same after its way over the wire.
func comesBack(t *testing.T, made *descset.Set) {
	t.Helper()
	read, err := descset.Decode(made.Encoded(), made.Hash())
	require.NoError(t, err)
	require.Equal(t, made.Hash(), read.Hash())
	require.Equal(t, made.Encoded(), read.Encoded())
	want, err := made.Files()
	require.NoError(t, err)
	got, err := read.Files()
	require.NoError(t, err)
	require.Equal(t, want.NumFiles(), got.NumFiles())
	want.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		other, err := got.FindFileByPath(f.Path())
		require.NoError(t, err)
		require.Equal(t, f.SourceLocations().Len(), other.SourceLocations().Len())
		return true
	})
}

// rich returns a file with a declaration of each kind.
func rich() *descriptorpb.FileDescriptorProto {
	f := withMessages(file("rich.proto"), message("M", ".p.M.N"), message("Empty", ""))
	f.Package = proto.String("p")
	m := f.MessageType[0]
	m.NestedType = []*descriptorpb.DescriptorProto{message("N", "")}
	m.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String("o")}}
	m.Field[0].OneofIndex = proto.Int32(0)
	f.EnumType = []*descriptorpb.EnumDescriptorProto{{Name: proto.String("E"), Value: []*descriptorpb.EnumValueDescriptorProto{
		{Name: proto.String("E_ZERO"), Number: proto.Int32(0)},
	}}}
	f.Service = []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{
		{Name: proto.String("Do"), InputType: proto.String(".p.M"), OutputType: proto.String(".p.Empty")},
	}}}
	f.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
		{Path: []int32{6, 0}, Span: []int32{0, 0, 0}, LeadingComments: proto.String(" A service.\n")},
	}}
	return f
}

// FuzzDecode reads any FileDescriptorSet, and any bytes. What is not refused is a set whose
// descriptors can be used.
func FuzzDecode(f *testing.F) {
	for _, service := range services()[:1] { // a large seed makes a slow fuzzer
		s, err := descset.Of(service)
		require.NoError(f, err)
		r, err := gzip.NewReader(bytes.NewReader(s.Encoded()))
		require.NoError(f, err)
		var plain bytes.Buffer
		_, err = plain.ReadFrom(r)
		require.NoError(f, err)
		f.Add(plain.Bytes(), true)
		f.Add(s.Encoded(), false)
	}
	f.Add(set(f, file("a.proto"), publicly(file("b.proto", "a.proto"))), true)
	f.Add(set(f, withMessages(file("r.proto"), message("M", ".M"))), true)
	f.Add(set(f, rich()), true)
	f.Fuzz(func(t *testing.T, data []byte, plain bool) {
		if plain {
			data = packed(t, data)
		}
		s, err := descset.Decode(data, "")
		if err != nil {
			return
		}
		comesBack(t, s)
		files, err := s.Files()
		require.NoError(t, err)
		files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
			forEach(file, func(d protoreflect.Descriptor) {
				file.SourceLocations().ByDescriptor(d)
				_ = s.Comment(d)
			})
			for i := range file.Services().Len() {
				service, err := s.Service(string(file.Services().Get(i).FullName()))
				require.NoError(t, err)
				_, err = descset.Of(service)
				require.NoError(t, err)
			}
			return true
		})
	})
}
