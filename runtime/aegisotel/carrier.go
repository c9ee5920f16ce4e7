package aegisotel

import (
	"context"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/propagation"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// carrier is the metadata of a request, as the interface that OpenTelemetry reads and
// writes.
type carrier aegis.Header

var _ propagation.TextMapCarrier = carrier(nil)

func (c carrier) Get(key string) string { return aegis.Header(c).Get(key) }

func (c carrier) Set(key, value string) { aegis.Header(c).Set(key, value) }

func (c carrier) Keys() []string { return slices.Collect(maps.Keys(c)) }

// inject puts the trace context into the metadata, the shortest entries first, as far as
// there is room: a call must not fail for its baggage.
func (i *Interceptor) inject(ctx context.Context, call *aegis.Call) {
	travels := carrier{}
	i.propagator.Inject(ctx, travels)
	header := call.RequestHeader()
	room := wire.MaxMetadataBytes - size(header)
	for _, key := range slices.SortedFunc(maps.Keys(travels), func(a, b string) int { return len(travels[a][0]) - len(travels[b][0]) }) {
		old := size(aegis.Header{key: header[key]})
		if need := len(key) + len(travels[key][0]) - old; need <= room {
			room -= need
			header[key] = travels[key]
		}
	}
}

// size returns how many bytes count for the limit of metadata.
func size(h aegis.Header) (n int) {
	for key, values := range h {
		for _, v := range values {
			n += len(key) + len(v)
		}
	}
	return n
}
