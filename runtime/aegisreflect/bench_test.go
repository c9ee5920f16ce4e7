package aegisreflect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// BenchmarkCall compares a call of a generated client with those of a dynamic one: with a
// message, with JSON, and from the name of the service on.
func BenchmarkCall(b *testing.B) {
	conn := connect(b)
	serveProbe(b, another(b, conn))
	client, err := aegistestv1aegis.NewProbeServiceClient(conn)
	require.NoError(b, err)
	r := aegisreflect.New(conn)
	do := find(b, r, probeService, "Do")
	ctx := b.Context()
	text := []byte(`{"text": "hello", "data": "AQIDBAUGBwg="}`)
	byJSON := func(b *testing.B, do *aegisreflect.Method) {
		b.Helper()
		req, err := do.Request(text)
		require.NoError(b, err)
		res, err := do.Call(ctx, req)
		require.NoError(b, err)
		_, err = do.Service().JSON(res)
		require.NoError(b, err)
	}
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := client.Do(ctx, &testv1.DoRequest{Text: "hello", Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}})
			require.NoError(b, err)
		}
	})
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		req := request(b, do, string(text))
		for b.Loop() {
			_, err := do.Call(ctx, req)
			require.NoError(b, err)
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			byJSON(b, do)
		}
	})
	b.Run("service again, json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			byJSON(b, find(b, r, probeService, "Do"))
		}
	})
	b.Run("first call by name, json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			byJSON(b, find(b, aegisreflect.New(conn), probeService, "Do"))
		}
	})
}
