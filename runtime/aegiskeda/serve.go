package aegiskeda

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"connectrpc.com/connect"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegiskeda/internal/externalscaler"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// service begins the paths of all methods.
const service = "/externalscaler.ExternalScaler/"

// maxRequest bounds a request, which has the metadata of one trigger.
const maxRequest = 64 << 10

// watchPause is how often StreamIsActive looks: KEDA learns within a second that there is
// something to do.
const watchPause = 750 * time.Millisecond

// routes returns the handler of all methods.
func (s *Scaler) routes() http.Handler {
	mux, limit := http.NewServeMux(), connect.WithReadMaxBytes(maxRequest)
	for method, h := range map[string]http.Handler{
		"IsActive":       connect.NewUnaryHandlerSimple(service+"IsActive", s.isActive, limit),
		"StreamIsActive": connect.NewServerStreamHandlerSimple(service+"StreamIsActive", s.streamIsActive, limit),
		"GetMetricSpec":  connect.NewUnaryHandlerSimple(service+"GetMetricSpec", s.getMetricSpec, limit),
		"GetMetrics":     connect.NewUnaryHandlerSimple(service+"GetMetrics", s.getMetrics, limit),
		// The targets are those of the metadata. KEDA does not ask again, and needs no stream
		// for each trigger.
		"StreamMetricSpec": connect.NewServerStreamHandlerSimple(service+"StreamMetricSpec", streamMetricSpec, limit),
	} {
		mux.Handle(service+method, h)
	}
	return mux
}

// triggerOf reads the trigger that a call is about.
func triggerOf(ref *externalscaler.ScaledObjectRef) (*trigger, error) {
	t, err := parseTrigger(ref.GetScalerMetadata())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return t, nil
}

// measure returns a trigger with the figures of now.
func (s *Scaler) measure(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*trigger, figures, error) {
	t, err := triggerOf(ref)
	if err != nil {
		return nil, figures{}, err
	}
	found, err := s.looks.at(ctx, t.of)
	if err != nil {
		return nil, figures{}, failed(ctx, err)
	}
	return t, found, nil
}

// failed returns the error that KEDA gets: whatever it is that keeps a figure from being known,
// it is not known.
func failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // the caller's own end
	case errors.Is(err, stores.ErrPermission), aegis.CodeOf(err) == aegis.CodePermissionDenied:
		return connect.NewError(connect.CodePermissionDenied, err)
	}
	return connect.NewError(connect.CodeUnavailable, err)
}

func (s *Scaler) isActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	t, found, err := s.measure(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &externalscaler.IsActiveResponse{Result: t.active(found)}, nil
}

func (s *Scaler) getMetricSpec(_ context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	t, err := triggerOf(ref)
	if err != nil {
		return nil, err
	}
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{
		{MetricName: t.name(), TargetSize: whole(t.target), TargetSizeFloat: t.target},
	}}, nil
}

func (s *Scaler) getMetrics(ctx context.Context, req *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	t, found, err := s.measure(ctx, req.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	value := t.value(found)
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{
		{MetricName: t.name(), MetricValue: whole(value), MetricValueFloat: value},
	}}, nil
}

// streamIsActive tells whether a trigger is active, and each change. While that is not known
// it tells nothing: KEDA would take longer and longer to come back to a stream that fails.
func (s *Scaler) streamIsActive(ctx context.Context, ref *externalscaler.ScaledObjectRef, stream *connect.ServerStream[externalscaler.IsActiveResponse]) error {
	t, err := triggerOf(ref)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	var told, active bool
	for {
		if found, err := s.looks.at(ctx, t.of); err == nil && (!told || t.active(found) != active) {
			told, active = true, t.active(found)
			if err := stream.Send(&externalscaler.IsActiveResponse{Result: active}); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.life.Done():
			return nil // KEDA comes back soon after an end in good order
		}
	}
}

func streamMetricSpec(context.Context, *externalscaler.ScaledObjectRef, *connect.ServerStream[externalscaler.GetMetricSpecResponse]) error {
	return connect.NewError(connect.CodeUnimplemented, errors.New("the targets of a trigger change with its metadata alone"))
}

// whole is a number for a KEDA that knows no fractions: something is never nothing.
func whole(value float64) int64 { return int64(math.Ceil(min(value, math.MaxInt32))) }
