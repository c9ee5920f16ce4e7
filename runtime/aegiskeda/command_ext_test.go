package aegiskeda_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// Nobody was ever there; commands come; a worker holds one, does all; more come when it is gone.
func TestFromZeroAndBack(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	c := serve(t, conn)
	c.becomes(work("waiting"), 0, false)
	told := c.watch(work("waiting"))
	require.False(t, receive(t, told))

	send(t, conn, 3)
	send(t, conn, 1, aegis.Priority(aegis.PriorityHigh))
	send(t, conn, 2, aegis.NotBefore(time.Now().Add(time.Hour)))
	require.True(t, receive(t, told))
	c.becomes(work("waiting"), 4, true)
	c.becomes(work("unfinished"), 4, true)
	c.becomes(work("waiting").with("activation", "4"), 4, false)
	c.becomes(work("waiting").with("activation", "3.5"), 4, true)
	age, err := c.value(work("age"))
	require.NoError(t, err)
	assert.Positive(t, age)
	assert.Less(t, age, patience.Seconds())

	held, release := make(chan struct{}, 10), make(chan struct{})
	stop := run(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
			held <- struct{}{}
			<-release
			return &testv1.WorkResponse{}, nil
		}})
	})
	for range 4 {
		receive(t, held)
	}
	c.becomes(work("waiting"), 0, true) // it runs: no replica is taken away
	c.becomes(work("unfinished"), 4, true)
	c.becomes(work("age"), 0, true)
	close(release)
	c.becomes(work("unfinished"), 0, false)
	require.False(t, receive(t, told))
	stop()

	send(t, conn, 2)
	require.True(t, receive(t, told))
	c.becomes(work("waiting"), 2, true)
	c.becomes(work("waiting").with("method", "Once"), 0, false)
}

// What a lost worker has left behind waits for nobody in particular, and needs a worker all the
// same, whatever the activation is.
func TestWhatALostWorkerHasLeftKeepsATriggerActive(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	c := serve(t, conn)
	runOnce(t, conn)
	c.becomes(work("waiting"), 0, false)
	send(t, conn, 1)
	consumer, err := conn.JetStream().Consumer(t.Context(), "aegis-commands-aegistest-v1-JobService", "w-Work-n")
	require.NoError(t, err)
	batch, err := consumer.Fetch(1)
	require.NoError(t, err)
	require.NotNil(t, receive(t, batch.Messages()))
	c.becomes(work("waiting").with("activation", "100"), 0, true)
	c.becomes(work("unfinished"), 1, true)
}

// runOnce starts a worker and stops it, so that its consumers are there.
func runOnce(t *testing.T, conn *aegis.Conn, opts ...aegis.ServiceOption) {
	t.Helper()
	run(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
			return &testv1.WorkResponse{}, nil
		}}, opts...)
	})()
}

// While the work of a method is paused, more workers would do nothing.
func TestPausedWorkDoesNotWait(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	c := serve(t, conn)
	runOnce(t, conn)
	send(t, conn, 3)
	c.becomes(work("waiting"), 3, true)
	admin := aegisadmin.New(conn)
	list, err := admin.Work(t.Context(), aegistestv1aegis.JobServiceName)
	require.NoError(t, err)
	for _, w := range list {
		require.NoError(t, admin.Pause(t.Context(), w, time.Now().Add(time.Hour)))
	}
	c.becomes(work("waiting"), 0, false)
	for _, w := range list {
		require.NoError(t, admin.Resume(t.Context(), w))
	}
	c.becomes(work("waiting"), 3, true)
}
