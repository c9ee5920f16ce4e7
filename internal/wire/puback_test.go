package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStoredBy(t *testing.T) {
	t.Parallel()
	for text, stream := range map[string]string{
		`{"stream":"A","seq":1}`:                                       "A",
		`{"stream":"A", "domain":"hub", "seq":22}`:                     "A",
		`{"stream":"A","seq":22,"duplicate":true}`:                     "A",
		`{"stream":"A","seq":3,"batch":"b","count":3}`:                 "A",
		`{"error":{"code":503,"err_code":10077},"stream":"A","seq":0}`: "A",
		`{"error":{"code":503,"err_code":10008,"description":"x"}}`:    "",
	} {
		got, ok := StoredBy([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, stream, got, text)
	}
	for _, text := range []string{
		"", "{", "{}", `{"stream":"A"}`, `{"seq":1}`, `{"stream":"","seq":1}`, `{"stream":"A","seq":-1}`, `{"stream":1,"seq":1}`,
		`{"term":1,"instance":"a"}`, `{"error":"text"}`, `{"error":{"code":5}}`, `[1]`, " {\"stream\":\"A\",\"seq\":1}", `{"stream":"A","seq":1}x`,
		"\x0a\x01x", "\x7b\x0a\x01x\x7c", // the second one is a group in field 15
	} {
		_, ok := StoredBy([]byte(text))
		require.False(t, ok, text)
	}
}
