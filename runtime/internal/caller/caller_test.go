package caller

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/calling"
	"github.com/aegisrpc/aegis/runtime/internal/retry"
	"github.com/aegisrpc/aegis/runtime/internal/targets"
)

func method(t *testing.T, m *spec.Method, zone string) *Method {
	t.Helper()
	c, err := New(Options{
		Service: &spec.Service{Name: "shop.v1.ShopService", Methods: []*spec.Method{m}}, Zone: zone,
		Subjects: wire.NewSubjects("ns"), Budget: retry.NewBudget(0.2, 10), Figures: new(calling.Figures),
	})
	require.NoError(t, err)
	return c.Method(m)
}

// A request says no more than the server does not know by itself.
func TestRequestsNameTheTimeAndTheAttemptIfTheServerHasToKnow(t *testing.T) {
	t.Parallel()
	m := method(t, &spec.Method{Name: "Buy", Timeout: time.Minute}, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for name, test := range map[string]struct {
		ctx    context.Context //nolint:containedctx // of one case
		change func(c *Call)
		header map[string]bool
	}{
		"the first":                     {t.Context(), func(*Call) {}, nil},
		"with a deadline":               {ctx, func(*Call) {}, map[string]bool{wire.HeaderTimeout: true}},
		"of a stream without an end":    {ctx, func(c *Call) { c.Endless = true }, nil},
		"that has waited":               {t.Context(), func(c *Call) { c.waited, c.Deadline = true, time.Now().Add(time.Second) }, map[string]bool{wire.HeaderTimeout: true}},
		"another one, with little time": {t.Context(), func(c *Call) { c.number, c.Deadline = 2, time.Now().Add(time.Second) }, map[string]bool{wire.HeaderTimeout: true, wire.HeaderAttempt: true}},
		"with metadata":                 {t.Context(), func(c *Call) { c.Header = nats.Header{"tenant": {"a"}} }, map[string]bool{"tenant": true}},
	} {
		c := m.Begin(test.ctx, &bus.Slot{}, time.Now(), &Choice{})
		test.change(&c)
		msg := c.message()
		if test.header == nil {
			require.Nil(t, msg, name)
			continue
		}
		require.Len(t, msg.Header, len(test.header), name)
		for key := range test.header {
			require.NotEmpty(t, msg.Header.Get(key), "%s: %s", name, key)
		}
	}
}

func TestStrategyIsThatOfTheCallThenThatOfTheProto(t *testing.T) {
	t.Parallel()
	zoned := &spec.Method{Name: "Buy", PreferZone: true}
	for name, test := range map[string]struct {
		m    *Method
		says targets.Kind
		want targets.Kind
	}{
		"neither":                        {method(t, &spec.Method{Name: "Buy"}, "a"), targets.ByDefault, targets.ByQueueGroup},
		"the call":                       {method(t, zoned, "a"), targets.ByRandom, targets.ByRandom},
		"the proto":                      {method(t, zoned, "a"), targets.ByDefault, targets.ByZone},
		"a process without a zone":       {method(t, zoned, ""), targets.ByDefault, targets.ByQueueGroup},
		"the call, and no zone is known": {method(t, zoned, ""), targets.ByZone, targets.ByQueueGroup},
	} {
		require.Equal(t, test.want, test.m.strategy(targets.Strategy{Kind: test.says}).Kind, name)
	}
}

func TestSubjectsOfAMethod(t *testing.T) {
	t.Parallel()
	require.Equal(t, wire.NewSubjects("ns").All("shop.v1.ShopService", "Reload"), method(t, &spec.Method{Name: "Reload", Pattern: spec.Broadcast}, "").Subject)
	require.Equal(t, wire.NewSubjects("ns").Call("shop.v1.ShopService", "Buy"), method(t, &spec.Method{Name: "Buy"}, "").Subject)
}
