package metadata

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// overTheWire is what nats.go makes of a header on its way.
func overTheWire(t testing.TB, h nats.Header) nats.Header {
	t.Helper()
	b := bytes.NewBufferString("NATS/1.0\r\n")
	require.NoError(t, http.Header(h).Write(b))
	b.WriteString("\r\n")
	out, err := nats.DecodeHeadersMsg(b.Bytes())
	require.NoError(t, err)
	return out
}

// Metadata that Encode lets through arrives as it was, and nothing besides.
func FuzzHeaderRoundTrip(f *testing.F) {
	f.Add("tenant", "a")
	f.Add("raw-bin", "\x00\r\n\xff")
	f.Add("k", "a\r\nAegis-Timeout: 1")
	f.Add("k", "\u00a0")
	f.Add("aegis-x", "a")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, key, value string) {
		out := nats.Header{}
		if err := Encode(map[string][]string{key: {value, value}}, out); err != nil {
			require.Equal(t, status.InvalidArgument, err.Code)
			return
		}
		got, err := Decode(overTheWire(t, out))
		require.Nil(t, err)
		require.Equal(t, map[string][]string{key: {value, value}}, got)
	})
}

// Whatever comes is a request that can be run, or an error that says why not.
func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("Aegis-Timeout: 100\r\ntenant: a\r\n"))
	f.Add([]byte("Aegis-Timeout: 99999999999999999999\r\n"))
	f.Add([]byte("Aegis-Timeout: -1\r\nAegis-Attempt: x\r\n"))
	f.Add([]byte("Content-Type: application/json\r\nAegis-Attempt: 2\r\n"))
	f.Add([]byte("Content-Type: text/html\r\n"))
	f.Add([]byte("k-bin: AAA=\r\nK-BIN: !\r\n"))
	f.Add([]byte(": \r\n"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		header, err := nats.DecodeHeadersMsg(append([]byte("NATS/1.0\r\n"), append(lines, "\r\n"...)...))
		if err != nil {
			return // nats.go does not deliver it
		}
		var r Request
		if err := r.Read(&nats.Msg{Header: header}, time.Second); err != nil {
			require.Equal(t, status.InvalidArgument, err.Code)
			return
		}
		require.GreaterOrEqual(t, r.Timeout, wire.MinTimeout)
		require.LessOrEqual(t, r.Timeout, wire.MaxTimeout)
		require.GreaterOrEqual(t, r.Attempt, 1)
		for key := range r.User {
			require.False(t, Reserved(key), "%q", key)
		}
	})
}
