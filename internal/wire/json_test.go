package wire_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
)

// sameBytes compares JSON byte by byte: another order of fields is another text.
func sameBytes(t *testing.T, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("it is %s\nin place of %s", got, want)
	}
}

// What one version sends another one reads, so that the bytes of a body never change.
func TestBodiesOnTheWire(t *testing.T) {
	t.Parallel()
	for want, body := range map[string]interface{ Encode() []byte }{
		`{"term":0,"instance":""}`:                                   wire.Leader{},
		`{"term":1700000000000001,"instance":"a-1"}`:                 wire.Leader{Term: 1_700_000_000_000_001, Instance: "a-1"},
		`{"process":"P2","server_id":"NA","number":7,"answer":true}`: wire.Probe{Process: "P2", ServerID: "NA", Number: 7, Answer: true},
		`{"process":"P2","server_id":"NA","number":7}`:               wire.Probe{Process: "P2", ServerID: "NA", Number: 7},
		`{"server_id":"NA"}`:                                         wire.ProbeAnswer{ServerID: "NA"},
		`{"member":"m"}`:                                             wire.Member{Name: "m"},
		`{"member":"m","gone":true}`:                                 wire.Member{Name: "m", Gone: true},
		`{"member":"m","hello":true}`:                                wire.Member{Name: "m", Hello: true},
		leaderRecord:                                                 someLeaderRecord(),
		`{}`:                                                         wire.DescriptorsRequest{},
		`{"offset":7}`:                                               wire.DescriptorsRequest{Offset: 7},
		`{"sequence":7,"stored":1795451715343666000,"delivered":2,"attempts":1,"begun":false,"tries":2}`: wire.Attempts{
			Sequence: 7, Stored: 1_795_451_715_343_666_000, Delivered: 2, Attempts: 1, Tries: 2,
		},
		`{"sequence":7,"stored":1,"delivered":3,"attempts":2,"begun":true,"tries":3,"reason":"x"}`: wire.Attempts{
			Sequence: 7, Stored: 1, Delivered: 3, Attempts: 2, Begun: true, Tries: 3, Reason: "x",
		},
	} {
		sameBytes(t, want, string(body.Encode()))
	}
}

// comesBack checks that a body is the same after its way over the wire, and that a
// field that a later version may add does no harm.
func comesBack[T any](t *testing.T, body T, data []byte, decode func([]byte) (T, bool)) {
	t.Helper()
	for _, text := range []string{string(data), `{"later":[{}],` + string(data[1:])} {
		got, ok := decode([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, body, got, text)
	}
	for _, text := range []string{"", "{", "[1]", "x", string(data[:len(data)-1])} {
		_, ok := decode([]byte(text))
		require.False(t, ok, text)
	}
}

func TestBodiesComeBack(t *testing.T) {
	t.Parallel()
	leader := wire.Leader{Term: 1<<53 - 1, Instance: "a-1"}
	comesBack(t, leader, leader.Encode(), wire.DecodeLeader)
	probe := wire.Probe{Process: "P2", ServerID: "NA", Number: 1<<64 - 1, Answer: true}
	comesBack(t, probe, probe.Encode(), wire.DecodeProbe)
	answer := wire.ProbeAnswer{ServerID: "NA"}
	comesBack(t, answer, answer.Encode(), wire.DecodeProbeAnswer)
	member := wire.Member{Name: "m", Gone: true, Hello: true}
	comesBack(t, member, member.Encode(), wire.DecodeMember)
	attempts := wire.Attempts{Sequence: 1<<64 - 1, Stored: 1, Delivered: 2, Attempts: 3, Begun: true, Tries: 4, Reason: "x"}
	comesBack(t, attempts, attempts.Encode(), wire.DecodeAttempts)
}

func TestBodiesThatSomebodyElseSends(t *testing.T) {
	t.Parallel()
	_, ok := wire.DecodeProbeAnswer([]byte(`{"stream":"A","seq":1}`))
	require.False(t, ok, "a stream that stores probes answers too")
	_, ok = wire.DecodeMember([]byte(`{"name":"m"}`))
	require.False(t, ok)
	_, ok = wire.DecodeLeader([]byte(`{"term":"1"}`))
	require.False(t, ok)
}

const leaderRecord = `{"v":1,"instance":"orders-1","process":"P1","term":1800000000000000,"server_id":"NSERVER",` +
	`"since":"2026-11-23T10:00:00.000005Z","lease_ms":2000,"window_ms":100,"probers":["P2","P3"],"standbys":3,"released":false}`

func someLeaderRecord() wire.LeaderRecord {
	return wire.LeaderRecord{
		Version: 1, Instance: "orders-1", Process: "P1", Term: 1_800_000_000_000_000, ServerID: "NSERVER",
		Since: "2026-11-23T10:00:00.000005Z", LeaseMS: 2000, WindowMS: 100, Probers: []string{"P2", "P3"}, Standbys: 3, Released: new(bool),
	}
}

func TestLeaderRecordsAreReadStrictly(t *testing.T) {
	t.Parallel()
	got, err := wire.DecodeLeaderRecord([]byte(leaderRecord))
	require.NoError(t, err)
	require.Equal(t, someLeaderRecord(), got)
	for text, want := range map[string]string{
		`{"v":1,"process":"P1","later":1}`: `unknown field "later"`,
		`{"v":1,"Process":"P1"}`:           `unknown field "Process"`,
		`{"v":1,"term":"x"}`:               "json: ",
		"[]":                               "json: ",
	} {
		_, err := wire.DecodeLeaderRecord([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
	version, err := wire.LeaderRecordVersion([]byte(`{"v":9,"process":{"id":1}}`))
	require.NoError(t, err)
	require.Equal(t, 9, version)
	for _, text := range []string{"", "null", "[]", "{}", `{"v":1}`, `{"process":"P1"}`, `{"v":"1","process":"P1"}`} {
		_, err := wire.LeaderRecordVersion([]byte(text))
		require.Error(t, err, text)
	}
}

const instance = `{"v":1,"service":"order.v1.OrderService","instance":"a-1","process":"P1","incarnation":7,"change":3,` +
	`"state":"RUNNING","version":"1.4.0","started":"2023-11-14T22:13:20.000005Z","heartbeat_ms":2000,` +
	`"leads":[{"group":"default","term":9,"since":"2023-11-14T22:13:21Z"}],` +
	`"unhealthy":true,"no_responders_hidden":true,"methods":["GetOrder","PlaceOrder"],"patterns":{"PlaceOrder":"command"},` +
	`"zone":"eu-1a","node":"n7","build":"v3","labels":{"tier":"gold"},"reserved":true}`

func someInstance() *wire.Instance {
	version := 1
	return &wire.Instance{
		Version: &version, Service: "order.v1.OrderService", Instance: "a-1", Process: "P1", Incarnation: 7, Change: 3,
		State: "RUNNING", ServiceVersion: "1.4.0", Started: time.Unix(1_700_000_000, 5000).UTC(), HeartbeatMS: 2000,
		Leads:     []wire.InstanceLead{{Group: "default", Term: 9, Since: time.Unix(1_700_000_001, 0).UTC()}},
		Unhealthy: true, Hidden: true, Methods: []string{"GetOrder", "PlaceOrder"},
		Zone: "eu-1a", Node: "n7", Build: "v3", Labels: map[string]string{"tier": "gold"}, Reserved: true,
		Patterns: map[string]string{"PlaceOrder": "command"},
	}
}

func TestInstancesOnTheWire(t *testing.T) {
	t.Parallel()
	data, err := someInstance().Encode()
	require.NoError(t, err)
	sameBytes(t, instance, string(data))
	got, err := wire.DecodeInstance([]byte(`{"later":"eu",` + instance[1:]))
	require.NoError(t, err)
	require.Equal(t, someInstance(), got)

	version := 1
	data, err = (&wire.Instance{Version: &version, Service: "a.S", State: "STARTING", Started: time.Unix(0, 0).UTC()}).Encode()
	require.NoError(t, err)
	sameBytes(t, `{"v":1,"service":"a.S","instance":"","process":"","incarnation":0,"change":0,`+
		`"state":"STARTING","version":"","started":"1970-01-01T00:00:00Z","heartbeat_ms":0}`, string(data))
}

// A list that is empty says that the instance serves no method; without a list that is
// not known.
func TestInstancesWithoutMethods(t *testing.T) {
	t.Parallel()
	none := someInstance()
	none.Methods, none.Patterns = []string{}, map[string]string{}
	data, err := none.Encode()
	require.NoError(t, err)
	require.Contains(t, string(data), `"methods":[],"patterns":{}`)
	got, err := wire.DecodeInstance(data)
	require.NoError(t, err)
	require.Equal(t, none, got)
}

func TestInstancesOfLaterVersions(t *testing.T) {
	t.Parallel()
	later := []byte(`{"v":3,"process":"P9","state":{"name":"RUNNING"}}`)
	_, err := wire.DecodeInstance(later)
	require.Error(t, err)
	require.Equal(t, 3, *wire.InstanceVersion(later))
	require.Equal(t, "P9", wire.InstanceProcess(later))
	require.Nil(t, wire.InstanceVersion([]byte("x")))
	require.Nil(t, wire.InstanceVersion([]byte("{}")))
	require.Empty(t, wire.InstanceProcess([]byte(`{"process":{"id":1}}`)))
}

func TestHeartbeatsOnTheWire(t *testing.T) {
	t.Parallel()
	h := &wire.Heartbeat{
		Record: someInstance(), Bucket: 1_700_000_000_000_001, Metrics: []byte(`{"score":90}`),
		Load: wire.Load{InFlight: 3, Latency: 1500 * time.Nanosecond, Capacity: 256},
	}
	data, err := h.Encode()
	require.NoError(t, err)
	sameBytes(t, `{"record":`+instance+`,"bucket":1700000000000001,`+
		`"load":{"in_flight":3,"latency":1500,"capacity":256},"metrics":{"score":90}}`, string(data))
	got, err := wire.DecodeHeartbeat(data)
	require.NoError(t, err)
	require.Equal(t, h, got)
	sameBytes(t, instance, string(wire.HeartbeatRecord(data)))

	data, err = (&wire.Heartbeat{Record: someInstance()}).Encode()
	require.NoError(t, err)
	sameBytes(t, `{"record":`+instance+`}`, string(data))
	_, err = (&wire.Heartbeat{Metrics: []byte("{")}).Encode()
	require.Error(t, err)
	require.Nil(t, wire.HeartbeatRecord([]byte("x")))
}

func TestLabelsAreInOrder(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"a=", "b=1", "c/d=x=y"}, wire.LabelPairs(map[string]string{"c/d": "x=y", "b": "1", "a": ""}))
	require.Empty(t, wire.LabelPairs(nil))
}
