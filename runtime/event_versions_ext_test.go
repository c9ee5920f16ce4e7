package aegis_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// nextVersion is a service as its next version has it: with other options and
// further methods. Its messages are those of this version.
func nextVersion(t testing.TB, file protoreflect.FileDescriptor, service string, change func(*descriptorpb.ServiceDescriptorProto)) protoreflect.ServiceDescriptor {
	t.Helper()
	next := protodesc.ToFileDescriptorProto(file)
	for _, s := range next.GetService() {
		if s.GetName() == service {
			change(s)
		}
	}
	desc, err := protodesc.NewFile(next, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return desc.Services().ByName(protoreflect.Name(service))
}

func methodOptions(opts *aegisv1.MethodOptions) *descriptorpb.MethodOptions {
	o := &descriptorpb.MethodOptions{}
	proto.SetExtension(o, aegisv1.E_Method, opts)
	return o
}

func findMethod(t testing.TB, s *descriptorpb.ServiceDescriptorProto, name string) *descriptorpb.MethodDescriptorProto {
	t.Helper()
	for _, m := range s.GetMethod() {
		if m.GetName() == name {
			return m
		}
	}
	t.Fatalf("%s has no method %s", s.GetName(), name)
	return nil
}

// Version 2 has another event, and other attempts and another ack wait for the
// old one.
func TestVersionsOfSubscribersWorkSideBySide(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	v2 := nextVersion(t, testv1.File_aegistest_v1_events_proto, "EventService", func(s *descriptorpb.ServiceDescriptorProto) {
		event := func() *descriptorpb.MethodOptions {
			return methodOptions(&aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{
				Mode: &aegisv1.Event_Compete_{Compete: &aegisv1.Event_Compete{Group: "store"}}, Durable: true,
				AckWait: durationOf(3 * time.Second), Redelivery: &aegisv1.Retry{MaxAttempts: proto.Uint32(7)},
			}}})
		}
		old := findMethod(t, s, "Stored")
		old.Options = event()
		added, ok := proto.Clone(old).(*descriptorpb.MethodDescriptorProto)
		require.True(t, ok)
		added.Name, added.Options = proto.String("Added"), event()
		s.Method = append(s.Method, added)
	})
	var d diary
	var log logs
	handle := func(ctx context.Context, ev *testv1.StoredRequest) error {
		if call, _ := aegis.CallFromContext(ctx); call.Attempt() == 1 && len(ev.GetText())%3 == 0 {
			return errWrong // some need a second attempt
		}
		return d.stored(ctx, ev)
	}
	startNew := func() running {
		srv, err := aegis.NewServer(conn, log.option())
		require.NoError(t, err)
		require.NoError(t, aegis.SubscribeEvents(srv, v2, []aegis.EventHandler{
			aegis.NewEventHandler("Stored", handle), aegis.NewEventHandler("Added", handle),
		}))
		return runServer(t, srv)
	}
	old := []running{subscriber(t, conn, handlers{Stored: handle}, nil), subscriber(t, conn, handlers{Stored: handle}, nil)}
	pub, next := newPublisher(t, conn), newNext(t, conn, v2)
	published := 0
	publish := func(n int, added bool) {
		for range n {
			mustStore(t, pub, strconv.Itoa(published))
			published++
			if added {
				_, err := next.Publish(t.Context(), stored(strconv.Itoa(published)))
				require.NoError(t, err)
				published++
			}
		}
	}
	publish(100, false)
	var now []running
	for _, r := range old {
		now = append(now, startNew())
		publish(50, true)
		r.end(t)
		publish(50, true)
	}
	// And back again.
	back := subscriber(t, conn, handlers{Stored: handle}, nil)
	publish(50, true)
	eventually(t, "all are handled", func() bool { return len(d.all()) >= published })
	settled(t, conn, "g-store-Stored")
	settled(t, conn, "g-store-Added")
	require.Len(t, d.all(), published)
	require.Contains(t, log.String(), "ack_wait is 1s in place of 3s")
	require.NotContains(t, log.String(), "level=ERROR")
	back.end(t)
	for _, r := range now {
		r.end(t)
	}
}

func newNext(t testing.TB, conn *aegis.Conn, desc protoreflect.ServiceDescriptor) *aegis.DurableEvent[testv1.StoredRequest] {
	t.Helper()
	pub, err := aegis.NewPublisher(conn, desc)
	require.NoError(t, err)
	return aegis.NewDurableEvent[testv1.StoredRequest](pub, "Added")
}

// runServer runs a server that the test stops itself.
func runServer(t testing.TB, srv *aegis.Server) running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		eventually(t, "the server has stopped", func() bool { return srv.State() == aegis.StateStopped })
	})
	eventually(t, "the server runs", func() bool { return srv.State() == aegis.StateRunning || len(done) > 0 })
	return running{srv, stop, done}
}
