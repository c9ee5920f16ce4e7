package aegistest

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// WithTerm returns a context in which aegis.TermFromContext returns a term, as in the handlers
// of a single active method.
func WithTerm(ctx context.Context, term aegis.Term) context.Context {
	info := leader.Info(term)
	ctx, _ = inmemory.ForTests().Context(ctx, &inmemory.Handling{Term: &info})
	return ctx
}

// WithDelivery returns a context in which aegis.DeliveryFromContext returns a delivery, as in
// the handlers of a durable event.
func WithDelivery(ctx context.Context, d aegis.Delivery) context.Context {
	delivery := inmemory.Delivery(d)
	ctx, _ = inmemory.ForTests().Context(ctx, &inmemory.Handling{Delivery: &delivery})
	return ctx
}

// Reports are those of a handler about its work on a command. It is safe for concurrent use.
type Reports struct {
	mu   sync.Mutex // guards list
	list []aegis.Progress
}

// List returns the reports so far, in order.
func (r *Reports) List() []aegis.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// WithJob returns a context in which aegis.JobFromContext returns a command with this id and
// the number of an attempt, from 1 on, as in the handlers of a command, and the reports that
// the handler makes.
func WithJob(ctx context.Context, id string, attempt int) (context.Context, *Reports) {
	r := &Reports{}
	ctx, _ = inmemory.ForTests().Context(ctx, &inmemory.Handling{Job: &inmemory.Job{
		ID: id, Attempt: attempt,
		Report: func(_ context.Context, percent float64, message string) *status.Status {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.list = append(r.list, aegis.Progress{Percent: percent, Message: message})
			return nil
		},
	}})
	return ctx, r
}

// CallConfig says what a handler learns of its call.
type CallConfig struct {
	// Method is the descriptor of the method, such as
	// echov1.File_echo_v1_echo_proto.Services().ByName("EchoService").Methods().ByName("Echo").
	// It is needed.
	Method protoreflect.MethodDescriptor
	// Instance is the name of the instance.
	Instance string
	// Attempt is the number of the client's attempt; 0 is the first one.
	Attempt int
	// Header is the metadata of the request.
	Header aegis.Header
}

// WithCall returns a context in which aegis.CallFromContext returns a call, as in a handler,
// and the call, in which the test finds the metadata of the response.
func WithCall(ctx context.Context, cfg CallConfig) (context.Context, *aegis.Call) {
	ctx, call := inmemory.ForTests().Context(ctx, &inmemory.Handling{
		Method: cfg.Method, Instance: cfg.Instance, Attempt: cfg.Attempt, Header: cfg.Header,
	})
	return ctx, call.(*aegis.Call) //nolint:forcetypeassert // it is one
}
