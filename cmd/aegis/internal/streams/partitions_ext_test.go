package streams_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestNumberOfPartitionsIsShownAndChanged(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	event := aegistestv1aegis.EventServiceName + "/Keyed"
	r := subcommand.Run(t, n, "partitions", event)
	assert.Equal(t, 1, r.Code, r.Err)
	pub, err := aegistestv1aegis.NewEventServicePublisher(n.Connect(t))
	require.NoError(t, err)
	_, err = pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: "a"})
	require.NoError(t, err)
	r = subcommand.Run(t, n, "partitions", event)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Equal(t, event+" has 4 partitions.\n", r.Out)
	r = subcommand.Run(t, n, "partitions", event, "32", "--dry-run")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "from 4 to 32")
	r = subcommand.Run(t, n, "partitions", event, "32", "--yes", "-o", "json")
	require.Equal(t, 0, r.Code, r.Err)
	assert.JSONEq(t, `{"service": "aegistest.v1.EventService", "event": "Keyed", "partitions": 32, "before": [4]}`, r.Out)
	r = subcommand.Run(t, n, "partitions", event)
	assert.Equal(t, event+" has 32 partitions, and had before: 4.\n", r.Out)
	_, err = pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: "a"})
	require.NoError(t, err)

	r = subcommand.Run(t, n, "partitions", event, "many", "--yes")
	assert.Equal(t, 2, r.Code)
	r = subcommand.Run(t, n, "partitions", event, "5000", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "use 1 to 1024")
	r = subcommand.Run(t, n, "partitions", aegistestv1aegis.EventServiceName+"/Keyd", "5", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "did you mean Keyed?")
}
