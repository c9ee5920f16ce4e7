package descstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/descstore"
	"github.com/aegisrpc/aegis/runtime/internal/rpcstream"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const service = "aegistest.v1.EventService"

// open returns the JetStream of a new connection.
func open(t *testing.T, n *aegistest.NATS) *stores.Stores {
	t.Helper()
	b, err := bus.New(n.Connect(t).NATS(), new(rpcstream.Hub), false)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	s, err := stores.New(b, "", "")
	require.NoError(t, err)
	return s
}

func TestStoredDescriptorsAreFound(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	s := open(t, n)
	_, err := descstore.Find(t.Context(), s, "aegis", service)
	require.ErrorContains(t, err, "stream not found")

	conn := n.Connect(t)
	publisher, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	_, err = publisher.Stored(t.Context(), &testv1.StoredRequest{})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var set *descset.Set
	for {
		if set, err = descstore.Find(ctx, s, "aegis", service); err == nil || ctx.Err() != nil {
			break
		}
		require.ErrorContains(t, err, "stream") // it does not name the descriptors yet, or others are not there
		require.True(t, bus.Wait(ctx, 10*time.Millisecond))
	}
	require.NoError(t, err)
	_, err = set.Service(service)
	require.NoError(t, err)

	again, err := descstore.Read(ctx, s, "aegis", set.Hash())
	require.NoError(t, err)
	require.Equal(t, set.Encoded(), again.Encoded())
	for hash, want := range map[string]string{
		"0123456789abcdef0123456789abcdef": "has no descriptors 0123456789abcdef0123456789abcdef",
		"*":                                "is no hash",
		"":                                 "is no hash",
	} {
		_, err := descstore.Read(ctx, s, "aegis", hash)
		require.ErrorContains(t, err, want)
	}
	_, err = descstore.Read(ctx, s, "other", set.Hash())
	require.ErrorContains(t, err, "there are no stored descriptors")
}

// A bucket may hold anything.
func TestStoredDescriptorsThatLieAreRefused(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	s := open(t, n)
	made, err := descset.Of(testv1.File_aegistest_v1_events_proto.Services().ByName("EventService"))
	require.NoError(t, err)
	bucket, err := s.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "aegis-descriptors"})
	require.NoError(t, err)
	for hash, value := range map[string][]byte{
		"0123456789abcdef0123456789abcdef": made.Encoded(),
		made.Hash():                        []byte("x"),
	} {
		_, err = bucket.Put(t.Context(), hash, value)
		require.NoError(t, err)
		_, err = descstore.Read(t.Context(), s, "aegis", hash)
		require.ErrorContains(t, err, "have the hash")
	}
}
