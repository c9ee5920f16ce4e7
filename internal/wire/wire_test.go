package wire_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	s := wire.NewSubjects("ns")
	for want, got := range map[string]string{
		"ns.call.a.v1.S.M":   s.Call("a.v1.S", "M"),
		"ns.inst.I.a.v1.S.M": s.Instance("I", "a.v1.S", "M"),
		"ns.cancel.a.v1.S":   s.Cancel("a.v1.S"),
		"ns.live.P":          s.Live("P"),
		"ns.call._void.x":    s.Void(wire.KindCall, "x"),
		"ns.inst._void.x":    s.Void(wire.KindInstance, "x"),
	} {
		require.Equal(t, want, got)
	}
}

func TestLedSubjectsAreRead(t *testing.T) {
	t.Parallel()
	s := wire.NewSubjects("ns")
	require.Equal(t, "ns.led.>", s.LedAll())
	service, group, ok := s.ParseLed(s.Led("a.v1.S", "g"))
	require.True(t, ok)
	require.Equal(t, "a.v1.S", service)
	require.Equal(t, "g", group)
	for _, subject := range []string{"", "ns.led", "ns.led.", "ns.led.x", "ns.led.x.", "ns.led..g", "other.led.a.v1.S.g", "ns.lead.a.v1.S.g"} {
		_, _, ok := s.ParseLed(subject)
		require.False(t, ok, subject)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ namespace, instance bool }{
		"":                       {false, false},
		"a":                      {true, true},
		"_":                      {true, true},
		"-":                      {false, true},
		"aegis_Test_09":          {true, true},
		"host-a1B2c3":            {false, true},
		"a.b":                    {false, false},
		"a b":                    {false, false},
		"*":                      {false, false},
		">":                      {false, false},
		"a\n":                    {false, false},
		"größe":                  {false, false},
		strings.Repeat("x", 32):  {true, true},
		strings.Repeat("x", 33):  {false, true},
		strings.Repeat("x", 64):  {false, true},
		strings.Repeat("x", 65):  {false, false},
		strings.Repeat("-", 1e6): {false, false},
	} {
		require.Equal(t, want.namespace, wire.ValidNamespace(name), "%.70q", name)
		require.Equal(t, want.instance, wire.ValidInstance(name), "%.70q", name)
	}
}

func TestReplyTokens(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]struct{ slot, generation uint64 }{
		"0~1":                       {0, 1},
		"7~1f":                      {7, 51},
		"zz~0":                      {1295, 0},
		"zzzzzzzzzzzz~zzzzzzzzzzzz": {4738381338321616895, 4738381338321616895},
	} {
		slot, generation, ok := wire.ParseReplyToken(token)
		require.True(t, ok, token)
		require.Equal(t, want, struct{ slot, generation uint64 }{slot, generation})
		require.Equal(t, token, string(wire.AppendReplyToken(nil, slot, generation)))
	}
	for _, token := range []string{
		"", "~", "1", "1~", "~1", "1~~1", "1~1~1", "A~1", "1~A", "1~1 ", " 1~1", "+1~1", "1_1", "1-1", "live", "ö~1",
		"1000000000000~1", "1~1000000000000", strings.Repeat("1", 1e6) + "~1",
	} {
		_, _, ok := wire.ParseReplyToken(token)
		require.False(t, ok, "%.70q", token)
	}
}

func TestCallerAlive(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{
		"_INBOX.abc.7~1f":                        "_INBOX.abc.live",
		"my.in.box.x.0~1":                        "my.in.box.x.live",
		"x.0~1":                                  "x.live",
		"x.S~1":                                  "x.live",
		"x.B~1":                                  "x.live",
		"":                                       "",
		"0~1":                                    "",
		".0~1":                                   "",
		"_INBOX.abc":                             "",
		"_INBOX.abc.live":                        "",
		"app.replies.Billing":                    "",
		"app.replies.Sales":                      "",
		"app.replies.eu-west":                    "",
		"_INBOX.wA8kYHmTsWvPQ2GnbYLRzX.Xq3mT9bz": "", // nats.go
		"_INBOX.wA8kYHmTsWvPQ2GnbYLRzX.S3mt9bz1": "", // one of its in three thousand
		"_INBOX.550e8400-e29b-41d4-a716-446655440000": "", // a UUID
		"_INBOX.abc.0~1.": "",
	} {
		require.Equal(t, want, wire.CallerAlive(reply), reply)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"1":        time.Millisecond,
		"250":      250 * time.Millisecond,
		"007":      7 * time.Millisecond,
		"86400000": 24 * time.Hour,
	} {
		got, ok := wire.ParseTimeout(text)
		require.True(t, ok, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{
		"", "0", "-1", "+1", "1.5", "1e3", "5s", " 1", "1 ", "86400001", "9223372036854775807", "9223372036854775808",
		"0x10", "1_000", "١", strings.Repeat("9", 1e6),
	} {
		_, ok := wire.ParseTimeout(text)
		require.False(t, ok, "%.70q", text)
	}
}

// A server must never give up before its caller, so what is left is rounded up.
func TestTimeoutsAreRoundedUpAndBounded(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]string{
		math.MinInt64:                "1",
		-time.Second:                 "1",
		0:                            "1",
		1:                            "1",
		time.Millisecond:             "1",
		time.Millisecond + 1:         "2",
		5*time.Second - 1:            "5000",
		5 * time.Second:              "5000",
		24 * time.Hour:               "86400000",
		24*time.Hour + 1:             "86400000",
		time.Duration(math.MaxInt64): "86400000",
	} {
		require.Equal(t, want, wire.FormatTimeout(left), "%v", left)
		_, ok := wire.ParseTimeout(wire.FormatTimeout(left))
		require.True(t, ok)
	}
}

func FuzzParseReplyToken(f *testing.F) {
	for _, seed := range []string{"0~1", "zzzzzzzzzzzz~zzzzzzzzzzzz", "", "~", "1~1~1", "00~01", "live"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		slot, generation, ok := wire.ParseReplyToken(token)
		if !ok {
			return
		}
		again := string(wire.AppendReplyToken(nil, slot, generation))
		if len(again) > len(token) {
			t.Fatalf("%q became %q", token, again)
		}
		s, g, ok := wire.ParseReplyToken(again)
		if !ok || s != slot || g != generation {
			t.Fatalf("%q became %q", token, again)
		}
	})
}

func FuzzParseTimeout(f *testing.F) {
	for _, seed := range []string{"1", "86400000", "0", "-1", "+1", "007", "9223372036854775808"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := wire.ParseTimeout(text)
		if !ok {
			return
		}
		if d < wire.MinTimeout || d > wire.MaxTimeout || wire.FormatTimeout(d) != strings.TrimLeft(text, "0") {
			t.Fatalf("%q is %v", text, d)
		}
	})
}

func FuzzCallerAlive(f *testing.F) {
	for _, seed := range []string{"_INBOX.abc.7~1f", "_INBOX.abc.Xq3mT9bz", "", ".", "0~1", ".0~1", "a..0~1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		alive := wire.CallerAlive(reply)
		if alive == "" {
			return
		}
		prefix, ok := strings.CutSuffix(alive, ".live")
		if !ok || prefix == "" || !strings.HasPrefix(reply, prefix+".") || strings.Contains(reply[len(prefix)+1:], ".") {
			t.Fatalf("%q gives %q", reply, alive)
		}
	})
}

func TestLeaderKeys(t *testing.T) {
	t.Parallel()
	key := wire.LeaderKey("order.v1.OrderService", "default", 1795)
	require.Equal(t, "order.v1.OrderService.default.1795", key)
	service, group, created, ok := wire.ParseLeaderKey(key)
	require.True(t, ok)
	require.Equal(t, []string{"order.v1.OrderService", "default", "1795"}, []string{service, group, created})
	for _, key := range []string{"", "a", "a.1", ".a.1", "a..1"} {
		_, _, _, ok := wire.ParseLeaderKey(key)
		require.False(t, ok, key)
	}
}

func TestNamesOfMethods(t *testing.T) {
	t.Parallel()
	for name, valid := range map[string]bool{
		"PlaceOrder": true, "place_order": true, "_": true, "A1": true, strings.Repeat("x", 1000): true,
		"": false, "a.b": false, "a-b": false, "a b": false, "é": false, "a*": false,
	} {
		require.Equal(t, valid, wire.ValidMethod(name), name)
	}
}
