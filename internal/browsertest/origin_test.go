package browsertest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	aegistestv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// near answers where it is called.
type near struct{}

func (near) Near(ctx context.Context, _ *aegistestv1.NearRequest) (*aegistestv1.NearResponse, error) {
	call, _ := aegis.CallFromContext(ctx)
	return &aegistestv1.NearResponse{InstanceName: call.Instance()}, nil
}

// serveNear serves over a connection with these options.
func (w *world) serveNear(name string, opts ...aegis.ConnOption) {
	w.t.Helper()
	conn, err := aegis.Connect(w.t.Context(), w.nats.ClientURL(), opts...)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	aegistest.Serve(w.t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterZoneServiceServer(srv, near{})
	}, aegis.WithInstance(name))
}

// The zone, node, build and labels of instances are columns of their table, and are found.
func TestThePageShowsWhatInstancesSayOfThemselves(t *testing.T) {
	w := newWorld(t)
	w.serveNear("near-1", aegis.WithZone("eu-1a"), aegis.WithNode("node-7"), aegis.WithBuild("v1.4.0"))
	w.serveNear("near-2", aegis.WithZone("eu-1b"), aegis.WithNode("node-9"), aegis.WithBuild("v1.4.0"))
	w.serveNear("mine", aegis.WithReserved(), aegis.WithLabels(map[string]string{"developer": "anna", "branch": "fix-the-book"}))
	b := startBrowser(t)
	for _, s := range []size{phone, laptop, wall} {
		p := open(t, b, w.page+"#/services/"+aegistestv1aegis.ZoneServiceName, s, s == wall)
		for _, text := range []string{"eu-1a", "node-9", "v1.4.0", "branch=fix-the-book developer=anna", "reserved"} {
			p.await(has("#instances", text))
		}
		p.await(has("main", "2 instances, 1 reserved"))
		p.fits()
		p.shot("origin-" + map[size]string{phone: "phone", laptop: "laptop", wall: "wall"}[s])
		p.accessible()
	}
	detail := open(t, b, w.page+"#/services/"+aegistestv1aegis.ZoneServiceName+"?instance=mine", laptop, false)
	detail.await(has("#plots", "reserved · branch=fix-the-book developer=anna"))
	detail.shot("origin-instance")
	p := open(t, b, w.page+"#/search?q=developer%3Danna", laptop, false)
	p.await(has("main", "mine"))
}
