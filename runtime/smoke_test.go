package aegis_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

type echo struct{ echov1aegis.UnimplementedEchoServiceServer }

func (echo) Echo(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

func TestSmoke(t *testing.T) {
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error { return echov1aegis.RegisterEchoServiceServer(srv, echo{}) })
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(t, err)
	start := time.Now()
	for range 10000 {
		res, err := client.Echo(t.Context(), &echov1.EchoRequest{Text: "hi"})
		require.NoError(t, err)
		require.Equal(t, "hi", res.GetText())
	}
	t.Log(time.Since(start)/10000)
	_, err = client.Echo(t.Context(), &echov1.EchoRequest{Text: "hi"}, aegis.ToInstance("nobody"))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
}
