package frame

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"
)

func TestFramesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for kind := Ack; kind <= lastKind; kind++ {
		for _, seq := range []uint64{0, 1, 127, 128, 1 << 40, math.MaxUint64} {
			b := append(Append(nil, kind, seq), "body"...)
			require.LessOrEqual(t, len(b)-len("body"), MaxOverhead)
			f, err := Decode(b)
			require.NoError(t, err)
			require.Equal(t, Frame{Kind: kind, Seq: seq, Body: []byte("body")}, f)

			scratch := append(make([]byte, MaxOverhead), "body"...)
			require.Equal(t, b, Prefix(scratch, kind, seq))
		}
	}
}

func TestPositionsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	want := Position{Received: 7, Limit: flow.Limit{Seq: 1 << 20, Bytes: math.MaxUint64}}
	body := AppendPosition(nil, want)
	got, err := DecodePosition(append(body, "of a later version"...))
	require.NoError(t, err)
	require.Equal(t, want, got)
	limit, err := DecodeLimit(AppendLimit(nil, want.Limit))
	require.NoError(t, err)
	require.Equal(t, want.Limit, limit)
	for n := range body {
		_, err := DecodePosition(body[:n])
		require.ErrorIs(t, err, ErrMalformed, "%d bytes of %d", n, len(body))
	}
	_, err = DecodeLimit([]byte{1})
	require.ErrorIs(t, err, ErrMalformed)
}

func TestWhatIsNoFrameIsAnError(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"nothing":              {},
		"kind 0":               {0, 1},
		"a kind that is not":   {byte(lastKind) + 1, 1},
		"no number":            {byte(Data)},
		"a number cut off":     {byte(Data), 0x80},
		"a number of 66 bits":  append([]byte{byte(Data)}, bytes.Repeat([]byte{0xff}, 10)...),
		"a number of 11 bytes": append([]byte{byte(Data)}, bytes.Repeat([]byte{0x80}, 11)...),
	} {
		_, err := Decode(b)
		require.ErrorIs(t, err, ErrMalformed, name)
	}
}

func TestNumberedKinds(t *testing.T) {
	t.Parallel()
	var numbered []Kind
	for kind := Ack; kind <= lastKind; kind++ {
		if kind.Numbered() {
			numbered = append(numbered, kind)
		}
	}
	require.Equal(t, []Kind{Header, Data, Part, Last, HalfClose, End}, numbered)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{byte(Data), 1, 'x'})
	f.Add(AppendPosition(Append(nil, Ping, 3), Position{1, flow.Limit{Seq: 2, Bytes: 3}}))
	f.Add(append([]byte{byte(End)}, bytes.Repeat([]byte{0xff}, 12)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Decode(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		again, err := Decode(append(Append(nil, got.Kind, got.Seq), got.Body...))
		require.NoError(t, err)
		require.Equal(t, got.Kind, again.Kind)
		require.Equal(t, got.Seq, again.Seq)
		require.True(t, bytes.Equal(got.Body, again.Body))
		if p, err := DecodePosition(got.Body); err == nil {
			same, err := DecodePosition(AppendPosition(nil, p))
			require.NoError(t, err)
			require.Equal(t, p, same)
		}
		_, _ = DecodeLimit(got.Body)
	})
}
