package directory

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

func TestViewsAreSharedAndEndWhenNobodyUsesThem(t *testing.T) {
	t.Parallel()
	s, err := embednats.Start(embednats.Options{StoreDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	b, err := bus.New(nc, nil, false)
	require.NoError(t, err)
	js, err := stores.New(b, "", "")
	require.NoError(t, err)
	d := New(Options{NATS: nc, Link: link.New(nc), JetStream: js, Namespace: "aegis", Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(d.Close)
	view := func() *View {
		v, err := d.View(t.Context(), "a.B")
		require.NoError(t, err)
		return v
	}
	first, second := view(), view()
	require.Same(t, first, second)
	first.Release()
	d.drop(first) // as the timer does, late
	require.NoError(t, first.ctx.Err(), "it is in use")
	second.Release()
	third := view()
	require.Same(t, first, third, "it lingers")
	third.Release()
	d.drop(third)
	require.Error(t, third.ctx.Err())
	require.NotSame(t, third, view())
	d.Close()
	_, err = d.View(t.Context(), "a.B")
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}
