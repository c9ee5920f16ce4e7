package aegisvalidate_test

import (
	"context"
	"sync"
	"testing"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// file has a service with one method of each kind. Their message, Note, has a text of at
// least three characters.
var file = sync.OnceValue(func() protoreflect.FileDescriptor {
	rule := &descriptorpb.FieldOptions{}
	proto.SetExtension(rule, validatepb.E_Field, &validatepb.FieldRules{
		Type: &validatepb.FieldRules_String_{String_: &validatepb.StringRules{MinLen: proto.Uint64(3)}},
	})
	wrong := &descriptorpb.FieldOptions{}
	proto.SetExtension(wrong, validatepb.E_Field, &validatepb.FieldRules{
		Cel: []*validatepb.Rule{{Id: proto.String("wrong"), Expression: proto.String("this is no CEL")}},
	})
	text := func(options *descriptorpb.FieldOptions) []*descriptorpb.FieldDescriptorProto {
		return []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("text"), Number: proto.Int32(1), Options: options,
			Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}
	}
	method := func(name, out string, opts *aegisv1.MethodOptions) *descriptorpb.MethodDescriptorProto {
		m := &descriptorpb.MethodDescriptorProto{
			Name: proto.String(name), InputType: proto.String(".notes.v1.Note"), OutputType: proto.String(out), Options: &descriptorpb.MethodOptions{},
		}
		proto.SetExtension(m.Options, aegisv1.E_Method, opts)
		return m
	}
	upload := method("Upload", ".notes.v1.Note", nil)
	upload.ClientStreaming = proto.Bool(true)
	download := method("Download", ".notes.v1.Note", nil)
	download.ServerStreaming = proto.Bool(true)
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("notes.proto"), Package: proto.String("notes.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{emptypb.File_google_protobuf_empty_proto.Path()},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Note"), Field: text(rule)}, {Name: proto.String("Wrong"), Field: text(wrong)},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{
			{Name: proto.String("NoteService"), Method: []*descriptorpb.MethodDescriptorProto{
				method("Put", ".notes.v1.Note", nil), upload, download,
				method("Work", ".notes.v1.Note", &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Command{Command: &aegisv1.Command{}}}),
			}},
			{Name: proto.String("NoteEvents"), Method: []*descriptorpb.MethodDescriptorProto{
				method("Noted", ".google.protobuf.Empty", &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{Durable: true}}}),
			}},
			{Name: proto.String("WrongService"), Method: []*descriptorpb.MethodDescriptorProto{{
				Name: proto.String("Put"), InputType: proto.String(".notes.v1.Wrong"), OutputType: proto.String(".notes.v1.Note"),
			}}},
		},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	return f
})

// note is a Note, as if protoc had generated it.
type note struct{ m protoreflect.Message }

func (n *note) ProtoReflect() protoreflect.Message {
	if n.m == nil {
		n.m = dynamicpb.NewMessage(file().Messages().ByName("Note"))
	}
	return n.m
}

func newNote(text string) *note {
	n := new(note)
	n.ProtoReflect().Set(n.m.Descriptor().Fields().ByName("text"), protoreflect.ValueOfString(text))
	return n
}

// notes is the implementation of the services. It notes what has come to its handlers.
type notes struct {
	mu   sync.Mutex
	seen []string
}

func (s *notes) add(where string, n *note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, where+" "+n.ProtoReflect().Get(n.m.Descriptor().Fields().ByName("text")).String())
}

func (s *notes) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.seen...)
}

func (s *notes) put(_ context.Context, n *note) (*note, error) {
	s.add("put", n)
	return newNote(""), nil // a response without the length that its rule asks for
}

func (s *notes) upload(_ context.Context, in aegis.Receiver[note]) (*note, error) {
	for n, err := range in.All() {
		if err != nil {
			return nil, err
		}
		s.add("upload", n)
	}
	return newNote("all"), nil
}

func (s *notes) download(_ context.Context, n *note, out aegis.Sender[note]) error {
	s.add("download", n)
	return out.Send(newNote("one"))
}

func (s *notes) work(_ context.Context, n *note) (*note, error) {
	s.add("work", n)
	return newNote("done"), nil
}

func (s *notes) register(srv *aegis.Server) error {
	err := aegis.RegisterService(srv, file().Services().ByName("NoteService"), s, []aegis.Handler[*notes]{
		aegis.UnaryHandler("Put", (*notes).put),
		aegis.ClientStreamHandler("Upload", (*notes).upload),
		aegis.ServerStreamHandler("Download", (*notes).download),
		aegis.UnaryHandler("Work", (*notes).work),
	})
	if err != nil {
		return err
	}
	return aegis.SubscribeEvents(srv, file().Services().ByName("NoteEvents"), []aegis.EventHandler{
		aegis.NewEventHandler("Noted", func(_ context.Context, n *note) error { s.add("noted", n); return nil }),
	}, aegis.EachInstance())
}

// serve runs the services, and returns what has come to them.
func serve(t *testing.T, opts ...aegis.ServerOption) (*aegis.Conn, *notes) {
	t.Helper()
	conn, s := aegistest.Connect(t), new(notes)
	aegistest.Serve(t, conn, s.register, opts...)
	return conn, s
}

// client has the methods of a generated client and a generated publisher.
type client struct {
	put      *aegis.UnaryMethod[note, note]
	upload   *aegis.ClientStreamMethod[note, note]
	download *aegis.ServerStreamMethod[note, note]
	work     *aegis.CommandMethod[note, note]
	noted    *aegis.DurableEvent[note]
}

func newClient(t *testing.T, conn *aegis.Conn, interceptors ...aegis.Interceptor) client {
	t.Helper()
	c, err := aegis.NewClient(conn, file().Services().ByName("NoteService"), aegis.WithInterceptors(interceptors...))
	require.NoError(t, err)
	p, err := aegis.NewPublisher(conn, file().Services().ByName("NoteEvents"), aegis.WithInterceptors(interceptors...))
	require.NoError(t, err)
	return client{
		aegis.NewUnaryMethod[note, note](c, "Put"), aegis.NewClientStreamMethod[note, note](c, "Upload"),
		aegis.NewServerStreamMethod[note, note](c, "Download"), aegis.NewCommandMethod[note, note](c, "Work"),
		aegis.NewDurableEvent[note](p, "Noted"),
	}
}
