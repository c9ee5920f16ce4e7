package howto

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestErrorSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	conn := aegistest.NewMemory(t).Conn()
	serveOrders(t, conn, &Archive{find: func(_ context.Context, id string) (*howtov1.Order, error) {
		if id == "none" {
			return nil, sql.ErrNoRows
		}
		return nil, errors.New("table orders is locked")
	}})
	client := newOrders(t, conn)
	_, err := client.GetOrder(within(t), &howtov1.GetOrderRequest{Id: "none"})
	require.EqualError(t, err, `NOT_FOUND: there is no order "none"`)
	assert.Equal(t, "none", Missing(err))
	_, err = client.GetOrder(within(t), &howtov1.GetOrderRequest{Id: "x"})
	require.EqualError(t, err, "UNKNOWN: table orders is locked")
	assert.Empty(t, Missing(err))
}

func TestCallersOfADiscreetServerDoNotReadItsErrors(t *testing.T) {
	t.Parallel()
	conn := aegistest.NewMemory(t).Conn()
	var log bytes.Buffer
	srv, err := NewDiscreetServer(conn, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	found := sql.ErrNoRows
	require.NoError(t, howtov1aegis.RegisterOrderServiceServer(srv, &Archive{find: func(context.Context, string) (*howtov1.Order, error) {
		return nil, found
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	defer func() { cancel(); assert.NoError(t, <-ended) }()
	client := newOrders(t, conn)
	eventually(t, "the server serves", func() bool {
		_, err = client.GetOrder(within(t), &howtov1.GetOrderRequest{Id: "none"})
		return aegis.CodeOf(err) == aegis.CodeNotFound
	})
	found = errors.New("table orders is locked")
	_, err = client.GetOrder(within(t), &howtov1.GetOrderRequest{Id: "x"})
	require.EqualError(t, err, "INTERNAL: an error in this service")
	assert.Contains(t, log.String(), "table orders is locked")
}
