package election

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func someRecord() Record {
	return Record{
		Instance: "orders-1", Process: "P1", Term: 1_800_000_000_000_000, ServerID: "NSERVER",
		Since: time.Date(2026, 11, 23, 10, 0, 0, 5000, time.UTC),
		Lease: 2 * time.Second, Window: 100 * time.Millisecond, Probers: [MaxProbers]string{"P2", "P3"}, Standbys: 3,
	}
}

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	released := someRecord()
	released.Released = true
	released.Probers = [MaxProbers]string{}
	vacant := someRecord()
	vacant.ServerID = ""
	greatest := someRecord()
	greatest.Term = maxTerm
	for _, record := range []Record{someRecord(), released, vacant, greatest} {
		data, err := record.Encode()
		require.NoError(t, err)
		got, err := DecodeRecord(data)
		require.NoError(t, err)
		require.Equal(t, record, got)
	}
}

// sameBytes compares JSON byte by byte: another order of fields is another text.
func sameBytes(t *testing.T, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("it is %s\nin place of %s", got, want)
	}
}

func TestRecordOnTheWire(t *testing.T) {
	t.Parallel()
	data, err := someRecord().Encode()
	require.NoError(t, err)
	sameBytes(t, `{"v":1,"instance":"orders-1","process":"P1","term":1800000000000000,"server_id":"NSERVER",`+
		`"since":"2026-11-23T10:00:00.000005Z","lease_ms":2000,"window_ms":100,"probers":["P2","P3"],"standbys":3,"released":false}`, string(data))
}

func TestDecodeRecordRefuses(t *testing.T) {
	t.Parallel()
	set := func(field string, value any) string {
		data, err := someRecord().Encode()
		require.NoError(t, err)
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal(data, &fields))
		if value == nil {
			delete(fields, field)
		} else {
			fields[field] = value
		}
		data, err = json.Marshal(fields)
		require.NoError(t, err)
		return string(data)
	}
	for _, test := range []struct {
		name, data string
		want       error
	}{
		{"empty", "", ErrForeignRecord},
		{"text", "leader=me", ErrForeignRecord},
		{"array", "[]", ErrForeignRecord},
		{"null", "null", ErrForeignRecord},
		{"another object", `{"name":"x"}`, ErrForeignRecord},
		{"no version", set("v", nil), ErrForeignRecord},
		{"no process", set("process", nil), ErrForeignRecord},
		{"two values", set("v", 1) + "{}", ErrForeignRecord},
		{"huge", set("instance", strings.Repeat("x", 5000)), ErrForeignRecord},
		{"future", set("v", 2), ErrFutureRecord},
		{"future with other fields", `{"v":9,"process":"P1","epoch":{}}`, ErrFutureRecord},
		{"version zero", set("v", 0), ErrCorruptRecord},
		{"unknown field", set("extra", 1), ErrCorruptRecord},
		{"field in another case", strings.Replace(set("v", 1), "instance", "Instance", 1), ErrCorruptRecord},
		{"version as text", set("v", "1"), ErrForeignRecord},
		{"empty prober", set("probers", []string{""}), ErrCorruptRecord},
		{"no term", set("term", nil), ErrCorruptRecord},
		{"negative term", set("term", -1), ErrCorruptRecord},
		{"term beyond JSON", set("term", uint64(maxTerm)+1), ErrCorruptRecord},
		{"term as text", set("term", "1"), ErrCorruptRecord},
		{"empty process", set("process", ""), ErrCorruptRecord},
		{"process with a dot", set("process", "a.b"), ErrCorruptRecord},
		{"no instance", set("instance", nil), ErrCorruptRecord},
		{"no since", set("since", nil), ErrCorruptRecord},
		{"no released", set("released", nil), ErrCorruptRecord},
		{"lease too short", set("lease_ms", 1), ErrCorruptRecord},
		{"lease overflows", set("lease_ms", int64(1)<<62), ErrCorruptRecord},
		{"no lease", set("lease_ms", nil), ErrCorruptRecord},
		{"window over a quarter", set("window_ms", 501), ErrCorruptRecord},
		{"no window", set("window_ms", nil), ErrCorruptRecord},
		{"three probers", set("probers", []string{"a", "b", "c"}), ErrCorruptRecord},
		{"prober with a star", set("probers", []string{"*"}), ErrCorruptRecord},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := DecodeRecord([]byte(test.data))
			require.ErrorIs(t, err, test.want)
		})
	}
}

func FuzzDecodeRecord(f *testing.F) {
	data, err := someRecord().Encode()
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"v":1,"process":"x"}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		record, err := DecodeRecord(data)
		if err != nil {
			return
		}
		again, err := record.Encode()
		require.NoError(t, err)
		same, err := DecodeRecord(again)
		require.NoError(t, err)
		require.True(t, record.Since.Equal(same.Since))
		record.Since, same.Since = time.Time{}, time.Time{}
		require.Equal(t, record, same)
	})
}
