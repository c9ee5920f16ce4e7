package registry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/registry"
)

func sample() *registry.Record {
	return &registry.Record{
		Service: "order.v1.OrderService", Instance: "a-1", Process: "P1", Incarnation: 7, Change: 3,
		State: registry.Running, Version: "1.4.0", Started: time.Unix(1_700_000_000, 5000).UTC(), Heartbeat: 2 * time.Second,
		Leads:     []registry.Lead{{Group: "default", Term: 9, Since: time.Unix(1_700_000_001, 0).UTC()}},
		Condition: registry.Condition{Unhealthy: true, NoRespondersHidden: true},
		Methods:   []string{"GetOrder", "PlaceOrder"},
		Patterns:  map[string]string{"PlaceOrder": "command"},
	}
}

func encode(t testing.TB, r *registry.Record) string {
	t.Helper()
	data, err := r.Encode()
	require.NoError(t, err)
	return string(data)
}

// sameBytes compares JSON byte by byte: another order of fields is another text.
func sameBytes(t *testing.T, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("it is %s\nin place of %s", got, want)
	}
}

func TestRecordIsReadableAndComesBack(t *testing.T) {
	t.Parallel()
	data := encode(t, sample())
	sameBytes(t, `{"v":1,"service":"order.v1.OrderService","instance":"a-1","process":"P1","incarnation":7,"change":3,`+
		`"state":"RUNNING","version":"1.4.0","started":"2023-11-14T22:13:20.000005Z","heartbeat_ms":2000,`+
		`"leads":[{"group":"default","term":9,"since":"2023-11-14T22:13:21Z"}],`+
		`"unhealthy":true,"no_responders_hidden":true,"methods":["GetOrder","PlaceOrder"],"patterns":{"PlaceOrder":"command"}}`, data)
	back, err := registry.Decode("order.v1.OrderService", "a-1", []byte(data))
	require.NoError(t, err)
	require.Equal(t, sample(), back)
}

// Otherwise a rolling update would hide the updated instances from all others.
func TestFieldsOfLaterProgramsAreIgnored(t *testing.T) {
	t.Parallel()
	data := strings.Replace(encode(t, sample()), `{"v":1,`, `{"v":1,"zone":"eu","more":[{}],`, 1)
	_, err := registry.Decode("order.v1.OrderService", "a-1", []byte(data))
	require.NoError(t, err)
}

func TestWhatIsNoRecordIsAnErrorOfOneKind(t *testing.T) {
	t.Parallel()
	valid := encode(t, sample())
	change := func(from, to string) string {
		require.Contains(t, valid, from)
		return strings.Replace(valid, from, to, 1)
	}
	for name, c := range map[string]struct{ data, want string }{
		"empty":            {"", "foreign"},
		"text":             {"hello", "foreign"},
		"other JSON":       {`{"name":"x"}`, "foreign"},
		"a number":         {`17`, "foreign"},
		"null":             {`null`, "foreign"},
		"too large":        {strings.Repeat("x", 17<<10), "foreign"},
		"cut":              {valid[:len(valid)-5], "foreign"},
		"future":           {change(`"v":1`, `"v":2`), "version 2, and this program knows 1; update it"},
		"future and other": {`{"v":3,"process":{"id":1}}`, "version 3"},
		"version 0":        {change(`"v":1`, `"v":0`), "corrupt"},
		"wrong type":       {change(`"change":3`, `"change":"x"`), "corrupt"},
		"another key":      {change(`"a-1"`, `"b"`), "not of its key"},
		"state":            {change(`RUNNING`, `FLYING`), "state"},
		"process":          {change(`"P1"`, `"P 1"`), "process"},
		"incarnation":      {change(`"incarnation":7`, `"incarnation":0`), "incarnation"},
		"heartbeat":        {change(`2000`, `-1`), "heartbeat_ms"},
		"long heartbeat":   {change(`2000`, `9223372036854775807`), "heartbeat_ms"},
		"group":            {change(`"default"`, `"a.b"`), "group"},
		"term":             {change(`"term":9`, `"term":0`), "term"},
		"method":           {change(`"GetOrder"`, `"Get.Order"`), "method"},
		"empty method":     {change(`"GetOrder"`, `""`), "method"},
		"method twice":     {change(`"GetOrder"`, `"PlaceOrder"`), "not in order"},
		"many methods":     {change(`"GetOrder"`, `"`+strings.Repeat("A", registry.MaxMethods)+`"`), "4096 bytes"},
		"version text":     {change(`1.4.0`, strings.Repeat("1", 200)), "version"},
		"started":          {change(`2023-11-14T22:13:20.000005Z`, `yesterday`), "corrupt"},
	} {
		_, err := registry.Decode("order.v1.OrderService", "a-1", []byte(c.data))
		require.ErrorIs(t, err, registry.ErrInvalidRecord, name)
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestNamesThatCannotBeKeys(t *testing.T) {
	t.Parallel()
	for _, instance := range []string{"", "a.b", "a b", "*", ">", strings.Repeat("a", 300), "ä", "a\x00"} {
		r := sample()
		r.Instance = instance
		_, err := r.Encode()
		require.ErrorIs(t, err, registry.ErrInvalidRecord, instance)
	}
	for _, service := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", ">", strings.Repeat("a", 201)} {
		require.False(t, registry.ValidService(service), service)
	}
}

func TestHeartbeatsSurviveBadMetrics(t *testing.T) {
	t.Parallel()
	for name, metrics := range map[string]string{"no JSON": "{", "too large": `"` + strings.Repeat("x", registry.MaxSnapshot) + `"`} {
		data, err := (&registry.Beat{Record: sample(), Bucket: 5, Metrics: []byte(metrics)}).Encode()
		require.NoError(t, err, name)
		b, err := registry.DecodeBeat("order.v1.OrderService", "a-1", data)
		require.NoError(t, err, name)
		require.Equal(t, &registry.Beat{Record: sample(), Bucket: 5}, b, name)
	}
	data, err := (&registry.Beat{Record: sample(), Metrics: []byte(`{"cpu":1}`)}).Encode()
	require.NoError(t, err)
	b, err := registry.DecodeBeat("order.v1.OrderService", "a-1", data)
	require.NoError(t, err)
	require.JSONEq(t, `{"cpu":1}`, string(b.Metrics))
	for _, bad := range []string{"", "{}", `{"record":null}`, `{"record":{}}`, `{"record":{"v":9,"state":1}}`, string(data[:20])} {
		_, err := registry.DecodeBeat("order.v1.OrderService", "a-1", []byte(bad))
		require.ErrorIs(t, err, registry.ErrInvalidRecord, bad)
	}
}

func TestHeartbeatsTellTheLoad(t *testing.T) {
	t.Parallel()
	load := registry.Load{InFlight: 3, Latency: 1500 * time.Nanosecond, Capacity: 256}
	data, err := (&registry.Beat{Record: sample(), Load: load}).Encode()
	require.NoError(t, err)
	require.Contains(t, string(data), `"load":{"in_flight":3,"latency":1500,"capacity":256}`)
	b, err := registry.DecodeBeat("order.v1.OrderService", "a-1", data)
	require.NoError(t, err)
	require.Equal(t, load, b.Load)
	data, err = (&registry.Beat{Record: sample()}).Encode()
	require.NoError(t, err)
	require.NotContains(t, string(data), "load")
}

func TestHeartbeatOnTheWire(t *testing.T) {
	t.Parallel()
	b := &registry.Beat{
		Record: sample(), Bucket: 1_700_000_000_000_001, Metrics: []byte(`{"score":90}`),
		Load: registry.Load{InFlight: 3, Latency: 1500 * time.Nanosecond, Capacity: 256},
	}
	data, err := b.Encode()
	require.NoError(t, err)
	sameBytes(t, `{"record":`+encode(t, sample())+`,"bucket":1700000000000001,`+
		`"load":{"in_flight":3,"latency":1500,"capacity":256},"metrics":{"score":90}}`, string(data))
	least := &registry.Record{
		Service: "a.S", Instance: "a", Process: "P1", Incarnation: 1, Change: 1,
		State: registry.Starting, Started: time.Unix(0, 0), Heartbeat: registry.MinHeartbeat,
	}
	data, err = (&registry.Beat{Record: least}).Encode()
	require.NoError(t, err)
	sameBytes(t, `{"record":{"v":1,"service":"a.S","instance":"a","process":"P1","incarnation":1,"change":1,`+
		`"state":"STARTING","version":"","started":"1970-01-01T00:00:00Z","heartbeat_ms":100}}`, string(data))
}

func TestIncarnationsIncreaseWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	wall := time.UnixMicro(1000)
	require.EqualValues(t, 1000, registry.NextIncarnation(0, wall))
	require.EqualValues(t, 1000, registry.NextIncarnation(999, wall))
	require.EqualValues(t, 1001, registry.NextIncarnation(1000, wall))
	require.EqualValues(t, 5001, registry.NextIncarnation(5000, wall))
	require.EqualValues(t, 1, registry.NextIncarnation(0, time.Unix(-5, 0)))
}

func FuzzDecode(f *testing.F) {
	data, _ := (&registry.Beat{Record: sample(), Metrics: []byte(`{}`)}).Encode()
	f.Add(data)
	record, _ := sample().Encode()
	f.Add(record)
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := registry.Decode("order.v1.OrderService", "a-1", data); err == nil {
			encode(t, r)
		} else {
			require.ErrorIs(t, err, registry.ErrInvalidRecord)
		}
		if b, err := registry.DecodeBeat("order.v1.OrderService", "a-1", data); err == nil {
			_, err := b.Encode()
			require.NoError(t, err)
		}
	})
}
