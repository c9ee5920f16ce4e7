package spec_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aegisrpc/aegis/internal/spec"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// FuzzFromDescriptor feeds any bytes as options. Whatever they are, there is
// either an error that names its option, or values within their ranges.
func FuzzFromDescriptor(f *testing.F) {
	seed := func(service *aegisv1.ServiceOptions, method *aegisv1.MethodOptions, kind byte) {
		s, err := proto.Marshal(service)
		if err != nil {
			f.Fatal(err)
		}
		m, err := proto.Marshal(method)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(s, m, kind)
	}
	seed(&aegisv1.ServiceOptions{}, &aegisv1.MethodOptions{}, 0)
	seed(&aegisv1.ServiceOptions{
		Version: "1.2.3", Timeout: durationpb.New(time.Second), MaxConcurrency: proto.Uint32(1),
		Election:       &aegisv1.Election{Lease: durationpb.New(time.Second), ActWindow: durationpb.New(time.Second)},
		DefaultPattern: &aegisv1.ServiceOptions_SingleActive{SingleActive: &aegisv1.SingleActive{Group: "g"}},
	}, &aegisv1.MethodOptions{Timeout: &durationpb.Duration{Seconds: -1 << 63, Nanos: -1 << 31}}, 1)
	seed(&aegisv1.ServiceOptions{EventStorage: &aegisv1.Storage{MaxBytes: proto.Uint64(1 << 63), MaxAge: &durationpb.Duration{Seconds: 1 << 62}}},
		&aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{Durable: true, KeyField: "inner.id", Partitions: proto.Uint32(1 << 31)}}}, 4)
	seed(&aegisv1.ServiceOptions{CommandStorage: &aegisv1.Storage{Replicas: proto.Uint32(3)}},
		&aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Command{Command: &aegisv1.Command{Retry: &aegisv1.Retry{MaxAttempts: proto.Uint32(0)}}}}, 2)
	f.Fuzz(func(t *testing.T, serviceOpts, methodOpts []byte, kind byte) {
		var service aegisv1.ServiceOptions
		var method aegisv1.MethodOptions
		if proto.Unmarshal(serviceOpts, &service) != nil || proto.Unmarshal(methodOpts, &method) != nil {
			t.Skip("no message")
		}
		r := rpc{name: "A", opts: &method, clientStream: kind&1 != 0, serverStream: kind&2 != 0, returnsNothing: kind&4 != 0}
		svc := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Service"), Options: &descriptorpb.ServiceOptions{}}
		proto.SetExtension(svc.Options, aegisv1.E_Service, &service)
		svc.Method = []*descriptorpb.MethodDescriptorProto{r.proto(), (rpc{name: "B"}).proto()}
		s, err := spec.FromDescriptor(build(t, "test.v1", svc))
		if err != nil {
			checkProblems(t, err)
			return
		}
		checkRanges(t, s)
	})
}

func checkProblems(t *testing.T, err error) {
	t.Helper()
	problems := spec.Problems(err)
	if len(problems) == 0 {
		t.Fatalf("no problem in %v", err)
	}
	for _, p := range problems {
		if p.Desc == nil || len(p.Path) == 0 || !strings.HasPrefix(p.Option, "(aegis.v1.") || !strings.Contains(p.Text, "; ") {
			t.Errorf("%q does not say where, what and what instead", p)
		}
	}
}

func checkRanges(t *testing.T, s *spec.Service) {
	t.Helper()
	if s.MaxConcurrency < 1 || s.Version == "" || len(s.Methods) != 2 {
		t.Errorf("service %+v", s)
	}
	if e := s.Election; e != nil && (e.ActWindow > e.Lease/4 || e.ProbeInterval > e.ActWindow/2 || e.ProbeInterval < 5*time.Millisecond) {
		t.Errorf("election %+v", e)
	}
	if e := s.EventStorage; e != nil && (e.DedupeWindow > e.MaxAge || e.Replicas < 0 || e.MaxBytes < 0) {
		t.Errorf("event storage %+v", e)
	}
	for _, m := range s.Methods {
		if m.Timeout < 0 || m.Timeout > 24*time.Hour || m.Timeout%time.Millisecond != 0 ||
			m.Retry.MaxAttempts < 1 || m.Retry.InitialBackoff > m.Retry.MaxBackoff || m.MaxMessageBytes < 0 {
			t.Errorf("method %+v", m)
		}
	}
}
