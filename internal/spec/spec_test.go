package spec_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aegisrpc/aegis/internal/spec"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

func resolve(t *testing.T, desc protoreflect.ServiceDescriptor) *spec.Service {
	t.Helper()
	s, err := spec.FromDescriptor(desc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %+v, want %+v", what, got, want)
	}
}

var callRetry = spec.Retry{MaxAttempts: 3, InitialBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second}

func TestDefaultsOfAService(t *testing.T) {
	t.Parallel()
	desc := service(t, nil,
		rpc{name: "Unary"},
		rpc{name: "Reads", idempotency: descriptorpb.MethodOptions_NO_SIDE_EFFECTS},
		rpc{name: "Repeats", idempotency: descriptorpb.MethodOptions_IDEMPOTENT},
		rpc{name: "Stream", serverStream: true},
	)
	s := resolve(t, desc)
	equal(t, "name", s.Name, "test.v1.Service")
	equal(t, "version", s.Version, "0.0.0")
	equal(t, "max concurrency", s.MaxConcurrency, 256)
	equal(t, "descriptor", s.Desc, desc)
	equal(t, "election", s.Election, (*spec.Election)(nil))
	equal(t, "event storage", s.EventStorage, (*spec.Storage)(nil))
	equal(t, "command storage", s.CommandStorage, (*spec.Storage)(nil))
	method := func(i int, name string) *spec.Method {
		return &spec.Method{
			Desc: desc.Methods().Get(i), Name: name, Pattern: spec.LoadBalanced, PatternPlace: spec.AtOptions(desc.Methods().Get(i)),
			Timeout: 5 * time.Second, Retry: callRetry,
		}
	}
	unary, reads, repeats, stream := method(0, "Unary"), method(1, "Reads"), method(2, "Repeats"), method(3, "Stream")
	reads.Idempotent, repeats.Idempotent = true, true
	stream.Timeout, stream.Retry = 0, spec.Retry{MaxAttempts: 1}
	equal(t, "number of methods", len(s.Methods), 4)
	for i, want := range []*spec.Method{unary, reads, repeats, stream} {
		equal(t, want.Name, *s.Methods[i], *want)
	}
	equal(t, "method by name", s.Method("Reads"), s.Methods[1])
	equal(t, "method that is not there", s.Method("Nothing"), (*spec.Method)(nil))
	equal(t, "unary is streaming", s.Methods[0].Streaming(), false)
	equal(t, "stream is streaming", s.Methods[3].Streaming(), true)
}

func TestValuesOfCalls(t *testing.T) {
	t.Parallel()
	s := resolve(t, service(t,
		&aegisv1.ServiceOptions{
			Version:        "1.4.0-rc.1+7",
			MaxConcurrency: proto.Uint32(1),
			Timeout:        durationpb.New(250 * time.Millisecond),
			DefaultPattern: &aegisv1.ServiceOptions_LoadBalanced{LoadBalanced: &aegisv1.LoadBalanced{StickyField: "inner.inner.id"}},
		},
		rpc{name: "Service"},
		rpc{name: "Own", opts: &aegisv1.MethodOptions{
			Pattern:         &aegisv1.MethodOptions_LoadBalanced{LoadBalanced: &aegisv1.LoadBalanced{}},
			Timeout:         durationpb.New(time.Millisecond),
			Retry:           &aegisv1.Retry{MaxAttempts: proto.Uint32(100), InitialBackoff: durationpb.New(time.Second), MaxBackoff: durationpb.New(time.Second)},
			MaxMessageBytes: proto.Uint64(1 << 30),
		}},
		rpc{name: "Once", opts: &aegisv1.MethodOptions{Retry: &aegisv1.Retry{MaxAttempts: proto.Uint32(1)}}},
		rpc{name: "Stream", serverStream: true, opts: &aegisv1.MethodOptions{Timeout: durationpb.New(24 * time.Hour)}},
		rpc{name: "Broadcast", opts: &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Broadcast{Broadcast: &aegisv1.Broadcast{}}}},
	))
	equal(t, "version", s.Version, "1.4.0-rc.1+7")
	equal(t, "max concurrency", s.MaxConcurrency, 1)
	sticky := s.Methods[0]
	equal(t, "timeout of the service", sticky.Timeout, 250*time.Millisecond)
	equal(t, "length of the sticky path", len(sticky.StickyField), 3)
	equal(t, "end of the sticky path", sticky.StickyField[2].FullName(), protoreflect.FullName("test.v1.Message.id"))
	own := s.Methods[1]
	equal(t, "timeout", own.Timeout, time.Millisecond)
	equal(t, "retry", own.Retry, spec.Retry{MaxAttempts: 100, InitialBackoff: time.Second, MaxBackoff: time.Second})
	equal(t, "max message bytes", own.MaxMessageBytes, 1<<30)
	equal(t, "sticky field of a method with its own pattern", len(own.StickyField), 0)
	equal(t, "attempts", s.Methods[2].Retry.MaxAttempts, 1)
	equal(t, "timeout of a stream", s.Methods[3].Timeout, 24*time.Hour)
	equal(t, "pattern", s.Methods[4].Pattern, spec.Broadcast)
	equal(t, "timeout of a broadcast", s.Methods[4].Timeout, 250*time.Millisecond)
	equal(t, "retry of a broadcast", s.Methods[4].Retry, spec.Retry{MaxAttempts: 1})
}

func TestSingleActiveAndElection(t *testing.T) {
	t.Parallel()
	single := &aegisv1.ServiceOptions_SingleActive{SingleActive: &aegisv1.SingleActive{Group: "books"}}
	rpcs := []rpc{
		{name: "Default"},
		{name: "Own", opts: &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_SingleActive{SingleActive: &aegisv1.SingleActive{}}}},
		{name: "Balanced", opts: &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_LoadBalanced{}}},
		{name: "Upload", clientStream: true},
		{name: "Watch", serverStream: true, opts: &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_SingleActive{}}},
	}
	s := resolve(t, service(t, &aegisv1.ServiceOptions{DefaultPattern: single}, rpcs...))
	for i, want := range []struct {
		pattern spec.Pattern
		place   string
		group   string
	}{
		{spec.SingleActive, "(aegis.v1.service).single_active", "books"},
		{spec.SingleActive, "(aegis.v1.method).single_active", "default"},
		{spec.LoadBalanced, "(aegis.v1.method).load_balanced", ""},
		{spec.LoadBalanced, "(aegis.v1.method)", ""},
		{spec.SingleActive, "(aegis.v1.method).single_active", "default"},
	} {
		equal(t, s.Methods[i].Name+"'s pattern", s.Methods[i].Pattern, want.pattern)
		equal(t, s.Methods[i].Name+"'s place of the pattern", s.Methods[i].PatternPlace.Option(), want.place)
		equal(t, s.Methods[i].Name+"'s group", s.Methods[i].Group, want.group)
	}
	const ms = time.Millisecond
	for _, test := range []struct {
		opts *aegisv1.Election
		want spec.Election
	}{
		{nil, spec.Election{Lease: 2 * time.Second, ActWindow: 100 * ms, ProbeInterval: 30 * ms}},
		{&aegisv1.Election{Preset: aegisv1.Election_PRESET_AGGRESSIVE}, spec.Election{Lease: time.Second, ActWindow: 100 * ms, ProbeInterval: 30 * ms}},
		{&aegisv1.Election{Preset: aegisv1.Election_PRESET_BALANCED}, spec.Election{Lease: 2 * time.Second, ActWindow: 100 * ms, ProbeInterval: 30 * ms}},
		{&aegisv1.Election{Preset: aegisv1.Election_PRESET_CONSERVATIVE}, spec.Election{Lease: 10 * time.Second, ActWindow: 100 * ms, ProbeInterval: 30 * ms}},
		{&aegisv1.Election{Lease: durationpb.New(500 * ms)}, spec.Election{Lease: 500 * ms, ActWindow: 100 * ms, ProbeInterval: 30 * ms}},
		{
			&aegisv1.Election{Preset: aegisv1.Election_PRESET_CONSERVATIVE, ActWindow: durationpb.New(20 * ms), ProbeInterval: durationpb.New(10 * ms)},
			spec.Election{Lease: 10 * time.Second, ActWindow: 20 * ms, ProbeInterval: 10 * ms},
		},
	} {
		s := resolve(t, service(t, &aegisv1.ServiceOptions{DefaultPattern: single, Election: test.opts}, rpcs...))
		equal(t, test.opts.String(), *s.Election, test.want)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	event := func(name string, e *aegisv1.Event) rpc {
		return rpc{name: name, returnsNothing: true, opts: &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Event{Event: e}}}
	}
	s := resolve(t, service(t, nil,
		event("Core", &aegisv1.Event{}),
		event("Stored", &aegisv1.Event{Durable: true, Mode: &aegisv1.Event_Broadcast{}}),
		event("Keyed", &aegisv1.Event{
			Durable: true, KeyField: "id", AckWait: durationpb.New(time.Minute),
			Mode:       &aegisv1.Event_Compete_{Compete: &aegisv1.Event_Compete{Group: "risk"}},
			Redelivery: &aegisv1.Retry{MaxAttempts: proto.Uint32(2)},
		}),
		event("Partitioned", &aegisv1.Event{Durable: true, KeyField: "id", Partitions: proto.Uint32(1024)}),
	))
	for _, m := range s.Methods {
		equal(t, m.Name+"'s pattern", m.Pattern, spec.Event)
		equal(t, m.Name+"'s timeout", m.Timeout, time.Duration(0))
	}
	equal(t, "core event", *s.Methods[0].Event, spec.EventSpec{Partitions: 1})
	redelivery := spec.Retry{MaxAttempts: 10, InitialBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second}
	equal(t, "stored event", *s.Methods[1].Event,
		spec.EventSpec{EachInstance: true, Durable: true, Partitions: 1, Redelivery: redelivery, AckWait: 30 * time.Second})
	redelivery.MaxAttempts = 2
	id := s.Methods[2].Desc.Input().Fields().ByName("id")
	equal(t, "keyed event", *s.Methods[2].Event, spec.EventSpec{
		Group: "risk", Durable: true, KeyField: []protoreflect.FieldDescriptor{id}, Partitions: 16,
		Redelivery: redelivery, AckWait: time.Minute,
	})
	equal(t, "partitions", s.Methods[3].Event.Partitions, 1024)
	equal(t, "storage", *s.EventStorage, spec.Storage{MaxAge: 7 * 24 * time.Hour, DedupeWindow: 2 * time.Minute})
}

func TestCommands(t *testing.T) {
	t.Parallel()
	command := func(name string, c *aegisv1.Command) rpc {
		return rpc{name: name, opts: &aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Command{Command: c}}}
	}
	s := resolve(t, service(t,
		&aegisv1.ServiceOptions{CommandStorage: &aegisv1.Storage{Replicas: proto.Uint32(3), DedupeWindow: durationpb.New(time.Hour)}},
		command("Default", &aegisv1.Command{}),
		command("Own", &aegisv1.Command{
			Retry:          &aegisv1.Retry{MaxAttempts: proto.Uint32(1)},
			AttemptTimeout: durationpb.New(time.Hour),
			AckWait:        durationpb.New(time.Second),
			ResultTtl:      durationpb.New(365 * 24 * time.Hour),
			SingleActive:   &aegisv1.SingleActive{Group: "eod"},
		}),
	))
	retry := spec.Retry{MaxAttempts: 5, InitialBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second}
	equal(t, "default", *s.Methods[0].Command,
		spec.CommandSpec{Retry: retry, AttemptTimeout: 300 * time.Second, AckWait: 10 * time.Second, ResultTTL: 24 * time.Hour})
	retry.MaxAttempts = 1
	equal(t, "own", *s.Methods[1].Command,
		spec.CommandSpec{Retry: retry, AttemptTimeout: time.Hour, AckWait: time.Second, ResultTTL: 365 * 24 * time.Hour})
	equal(t, "group of a command for all", s.Methods[0].Group, "")
	equal(t, "group", s.Methods[1].Group, "eod")
	equal(t, "storage", *s.CommandStorage, spec.Storage{Replicas: 3, DedupeWindow: time.Hour})
	equal(t, "a command elects", s.Election != nil, true)
}

// A window that nobody wrote must not make a short age an error.
func TestDedupeWindowFitsAShortAge(t *testing.T) {
	t.Parallel()
	s := resolve(t, service(t,
		&aegisv1.ServiceOptions{EventStorage: &aegisv1.Storage{Replicas: proto.Uint32(5), MaxAge: durationpb.New(time.Second), MaxBytes: proto.Uint64(7)}},
		rpc{name: "Event", returnsNothing: true, opts: &aegisv1.MethodOptions{
			Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{Durable: true}},
		}},
	))
	equal(t, "storage", *s.EventStorage, spec.Storage{Replicas: 5, MaxAge: time.Second, MaxBytes: 7, DedupeWindow: time.Second})
}

func TestProblemsNameDescriptorAndOption(t *testing.T) {
	t.Parallel()
	_, err := spec.FromDescriptor(service(t, &aegisv1.ServiceOptions{Version: "x"},
		rpc{name: "A", opts: &aegisv1.MethodOptions{Retry: &aegisv1.Retry{MaxAttempts: proto.Uint32(0)}}},
	))
	if err == nil {
		t.Fatal("two mistakes, no error")
	}
	problems := spec.Problems(err)
	equal(t, "number of problems", len(problems), 2)
	var first *spec.Problem
	equal(t, "errors.As", errors.As(err, &first), true)
	equal(t, "descriptor", problems[1].Desc.FullName(), protoreflect.FullName("test.v1.Service.A"))
	equal(t, "option", problems[1].Option, "(aegis.v1.method).retry.max_attempts")
	equal(t, "path", problems[1].Path, protoreflect.SourcePath{64713, 11, 1})
	equal(t, "text", problems[1].Error(), "test.v1.Service.A: (aegis.v1.method).retry.max_attempts: 0 is out of range; write 1 to 100")
	equal(t, "problems of another error", len(spec.Problems(errors.New("x"))), 0)
}

func TestOptionsOfAnotherVersionAreRefused(t *testing.T) {
	t.Parallel()
	newer := &aegisv1.MethodOptions{Retry: &aegisv1.Retry{}}
	newer.GetRetry().ProtoReflect().SetUnknown([]byte{0x98, 0x06, 0x01}) // field 99
	_, err := spec.FromDescriptor(service(t, nil, rpc{name: "A", opts: newer}))
	const want = "test.v1.Service.A: (aegis.v1.method).retry: this version of Aegis does not know all of its fields; " +
		"update protoc-gen-aegis and the module github.com/aegisrpc/aegis, " +
		"or write the options.proto of this version with protoc-gen-aegis --export-protos"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A descriptor that was read without the Go types of the options holds them as
// unknown bytes.
func TestOptionsInUnknownBytesAreRead(t *testing.T) {
	t.Parallel()
	opts := &descriptorpb.MethodOptions{}
	proto.SetExtension(opts, aegisv1.E_Method, &aegisv1.MethodOptions{Timeout: durationpb.New(time.Second)})
	raw, err := proto.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	s := resolve(t, service(t, nil, rpc{name: "A", raw: raw}))
	equal(t, "timeout", s.Methods[0].Timeout, time.Second)
}

func TestPatternsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for p := spec.LoadBalanced; p <= spec.Command; p++ {
		seen[p.String()] = true
	}
	if len(seen) != 5 || seen[spec.Pattern(0).String()] {
		t.Errorf("names are %v", seen)
	}
}
