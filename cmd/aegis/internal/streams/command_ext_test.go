package streams_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const subcommand testservice.Subcommand = "streams"

func TestStreamsAndTheirConsumers(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	r := subcommand.Run(t, n)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "Nothing is stored here.")
	r = subcommand.Run(t, n, "-o", "json")
	assert.JSONEq(t, "[]", r.Out)

	testservice.Send(t, testservice.Client(t, n), "x")
	r = subcommand.Run(t, n)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, testservice.Service)
	assert.Contains(t, r.Out, "commands")
	testservice.Serve(t, n)
	r = subcommand.Run(t, n, testservice.Service)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "w-Work-n")
	assert.Contains(t, r.Out, "DONE UP TO")
	r = subcommand.Run(t, n, testservice.Service, "-o", "json")
	var streams []struct {
		Kind      string
		Consumers []struct{ Consumer string }
	}
	require.NoError(t, json.Unmarshal([]byte(r.Out), &streams))
	assert.Equal(t, "commands", streams[0].Kind)
	assert.Len(t, streams[0].Consumers, 6)

	r = subcommand.Run(t, n, "aegistest.v1.JobServce")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "did you mean "+testservice.Service+"?")
}

func TestEventsOfAGroupArePaused(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	got := make(chan string, 4)
	for _, group := range []string{"risk", "audit"} {
		aegistest.Serve(t, n.Connect(t), func(srv *aegis.Server) error {
			return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
				Stored: func(context.Context, *testv1.StoredRequest) error { got <- group; return nil },
			}, aegis.Compete(group))
		})
	}
	method := aegistestv1aegis.EventServiceName + "/Stored"
	r := subcommand.Run(t, n, "pause", method, "--for", "1h", "--yes")
	assert.Equal(t, 2, r.Code)
	assert.Contains(t, r.Err, "--group audit, --group risk")
	r = subcommand.Run(t, n, "pause", method, "--group", "rsik", "--for", "1h", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "did you mean risk?")
	r = subcommand.Run(t, n, "pause", method, "--group", "risk", "--for", "1h", "--yes")
	require.Equal(t, 0, r.Code, r.Err)
	r = subcommand.Run(t, n, aegistestv1aegis.EventServiceName)
	assert.Contains(t, r.Out, "paused for 59m")

	pub, err := aegistestv1aegis.NewEventServicePublisher(n.Connect(t))
	require.NoError(t, err)
	_, err = pub.Stored(t.Context(), &testv1.StoredRequest{})
	require.NoError(t, err)
	next := func() string {
		select {
		case group := <-got:
			return group
		case <-time.After(testservice.Patience):
			t.Fatal("no event")
			return ""
		}
	}
	require.Equal(t, "audit", next())
	r = subcommand.Run(t, n, "resume", method, "--group", "risk", "--yes")
	require.Equal(t, 0, r.Code, r.Err)
	require.Equal(t, "risk", next())
}
