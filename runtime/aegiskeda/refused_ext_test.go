package aegiskeda_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// bounded holds its calls.
type bounded struct {
	held    chan struct{}
	release chan struct{}
}

func (b bounded) Hold(context.Context, *testv1.HoldRequest) (*testv1.HoldResponse, error) {
	b.held <- struct{}{}
	<-b.release
	return &testv1.HoldResponse{}, nil
}

func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	c := serve(t, conn)
	refused := trigger{"service": aegistestv1aegis.BoundedServiceName, "metric": "refused", "target": "1"}
	c.becomes(refused, 0, false) // nobody is there
	b := bounded{make(chan struct{}, 1), make(chan struct{})}
	run(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterBoundedServiceServer(srv, b, aegis.WithMaxConcurrency(1))
	})
	client, err := aegistestv1aegis.NewBoundedServiceClient(conn)
	require.NoError(t, err)
	var calling sync.WaitGroup
	calling.Go(func() {
		_, _ = client.Hold(t.Context(), &testv1.HoldRequest{}) // it may end before the others do
	})
	receive(t, b.held)
	for range 3 {
		_, err := client.Hold(t.Context(), &testv1.HoldRequest{})
		assert.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	}
	require.Eventually(t, func() bool {
		v, err := c.value(refused)
		return err == nil && v >= 3/60.
	}, patience, tick)
	active, err := c.active(refused)
	require.NoError(t, err)
	assert.True(t, active)
	close(b.release)
	calling.Wait()
}
