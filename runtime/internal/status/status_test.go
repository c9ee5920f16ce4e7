package status

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

func TestEveryCodeHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for c := Canceled; c <= Unauthenticated; c++ {
		name := c.String()
		require.Regexp(t, `^[A-Z]+(_[A-Z]+)*$`, name)
		require.False(t, seen[name], name)
		seen[name] = true
	}
	require.Len(t, seen, 16)
	require.Equal(t, "CODE_0", Code(0).String())
	require.Equal(t, "CODE_17", (Unauthenticated + 1).String())
}

type reply struct {
	header map[string][]string
	body   []byte
}

func errorReply(code, text, reason string, body []byte) *reply {
	return &reply{body: body, header: map[string][]string{
		wire.HeaderServiceErrorCode: {code}, wire.HeaderServiceError: {text}, wire.HeaderReason: {reason},
	}}
}

func statusBody(t testing.TB, code Code, message string, details ...proto.Message) []byte {
	t.Helper()
	s := &aegisv1.Status{Code: int32(code), Message: message}
	for _, d := range details {
		packed, err := anypb.New(d)
		require.NoError(t, err)
		s.Details = append(s.Details, packed)
	}
	b, err := proto.Marshal(s)
	require.NoError(t, err)
	return b
}

// Whatever answers, a plain NATS micro service included, the caller gets an
// error that it can use.
func TestDecode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		msg     *reply
		code    Code
		message string
		details int
	}{
		"status":           {errorReply("5", "short", "", statusBody(t, NotFound, "long", &aegisv1.Status{})), NotFound, "long", 1},
		"no body":          {errorReply("5", "short", "", nil), NotFound, "short", 0},
		"rubbish body":     {errorReply("5", "short", "", []byte("\xff\xff")), NotFound, "short", 0},
		"another's body":   {errorReply("5", "short", "", statusBody(t, Aborted, "long")), NotFound, "short", 0},
		"micro's code":     {errorReply("500", "short", "", []byte("text")), Unknown, "short", 0},
		"code 0":           {errorReply("0", "short", "", nil), Unknown, "short", 0},
		"code 17":          {errorReply("17", "short", "", nil), Unknown, "short", 0},
		"negative code":    {errorReply("-5", "short", "", nil), Unknown, "short", 0},
		"code that wraps":  {errorReply("4294967301", "short", "", nil), Unknown, "short", 0},
		"code in letters":  {errorReply("NOT_FOUND", "short", "", nil), Unknown, "short", 0},
		"nothing but code": {&reply{header: map[string][]string{wire.HeaderServiceErrorCode: {"16"}}}, Unauthenticated, "", 0},
	} {
		e := Decode(c.msg.header, c.msg.body)
		require.Equal(t, c.code, e.Code, name)
		require.Equal(t, c.message, e.Message, name)
		require.Len(t, e.Details, c.details, name)
		require.True(t, e.FromServer, name)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("5", "text", "OVERLOADED", statusBody(f, NotFound, "text", &aegisv1.Status{Code: 1}))
	f.Add("", "", "", []byte(nil))
	f.Add("4294967301", "\xff", "NO_RESPONDERS", []byte("\x08\x05\x12"))
	f.Add("007", "a\nb", "STALE", []byte("{}"))
	f.Fuzz(func(t *testing.T, code, text, reason string, body []byte) {
		r := errorReply(code, text, reason, body)
		e := Decode(r.header, r.body)
		if e.Code < Canceled || e.Code > Unauthenticated {
			t.Fatalf("code %d", e.Code)
		}
		if n, err := strconv.ParseUint(code, 10, 32); err == nil && Code(n) >= Canceled && Code(n) <= Unauthenticated && e.Code != Code(n) {
			t.Fatalf("code %d of %q", e.Code, code)
		}
		if !e.FromServer || e.Text() == "" {
			t.Fatal(e)
		}
	})
}

func TestWhatIsEncodedIsDecoded(t *testing.T) {
	t.Parallel()
	detail, err := anypb.New(&aegisv1.Status{Code: 1})
	require.NoError(t, err)
	s := &Status{Code: NotFound, Reason: wire.ReasonTooLarge, Message: "one\ntwo", Details: []*anypb.Any{detail}, NotRun: true}
	h := map[string][]string{}
	got := Decode(h, s.Encode(h, false))
	require.Equal(t, []string{"one two"}, h[wire.HeaderServiceError], "a header is one line")
	require.Equal(t, NotFound, got.Code)
	require.Equal(t, s.Reason, got.Reason)
	require.Equal(t, s.Message, got.Message)
	require.Len(t, got.Details, 1)
	require.False(t, got.NotRun, "what is certain on one side of the wire is not on the other")
	require.JSONEq(t, `{"code": 5, "message": "m"}`, string(New(NotFound, "m").Encode(h, true)))
}

// What a server gives a reason for, it has refused; of a leadership that was lost
// nobody knows.
func TestARefusalIsCertain(t *testing.T) {
	t.Parallel()
	for reason, refused := range map[string]bool{
		wire.ReasonOverloaded: true, wire.ReasonStopping: true, wire.ReasonStale: true, wire.ReasonNoMethod: true, wire.ReasonNotActive: true,
		wire.ReasonLeadershipLost: false, wire.ReasonTooLarge: false, "SOMETHING": false, "": false,
	} {
		s := Refusal(Unavailable, reason, "m")
		h := map[string][]string{}
		require.Equal(t, refused, Decode(h, s.Encode(h, false)).NotRun, reason)
	}
}
