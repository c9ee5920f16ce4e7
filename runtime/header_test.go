package aegis

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
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

// What encodeTo lets through arrives as it was, and nothing besides.
func FuzzHeaderRoundTrip(f *testing.F) {
	f.Add("tenant", "a")
	f.Add("raw-bin", "\x00\r\n\xff")
	f.Add("k", "a\r\nAegis-Timeout: 1")
	f.Add("k", "\u00a0")
	f.Add("aegis-x", "a")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, key, value string) {
		out := nats.Header{}
		if err := (Header{key: {value, value}}).encodeTo(out); err != nil {
			require.Equal(t, CodeInvalidArgument, err.Code())
			return
		}
		got, err := decodeHeader(overTheWire(t, out))
		require.Nil(t, err)
		require.Equal(t, Header{key: {value, value}}, got)
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
		r := incoming{msg: &nats.Msg{Header: header}, timeout: time.Second, attempt: 1}
		if err := r.readHeader(); err != nil {
			require.Equal(t, CodeInvalidArgument, err.Code())
			return
		}
		require.GreaterOrEqual(t, r.timeout, wire.MinTimeout)
		require.LessOrEqual(t, r.timeout, wire.MaxTimeout)
		require.GreaterOrEqual(t, r.attempt, 1)
		for key := range r.metadata {
			require.False(t, reservedKey(key), "%q", key)
		}
	})
}
