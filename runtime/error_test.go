package aegis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

func TestEveryCodeHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for c := minCode; c <= maxCode; c++ {
		name := c.String()
		require.Regexp(t, `^[A-Z]+(_[A-Z]+)*$`, name)
		require.False(t, seen[name], name)
		seen[name] = true
	}
	require.Len(t, seen, 16)
	require.Equal(t, "CODE_0", Code(0).String())
	require.Equal(t, "CODE_17", (maxCode + 1).String())
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	require.Zero(t, CodeOf(nil))
	require.Equal(t, CodeUnknown, CodeOf(errors.New("plain")))
	require.Equal(t, CodeCanceled, CodeOf(fmt.Errorf("x: %w", context.Canceled)))
	require.Equal(t, CodeDeadlineExceeded, CodeOf(context.DeadlineExceeded))
	require.Equal(t, CodeNotFound, CodeOf(fmt.Errorf("x: %w", NewError(CodeNotFound, ""))))
	require.False(t, IsWireError(nil))
	require.False(t, IsWireError(errors.New("plain")))
	require.False(t, IsWireError(NewError(CodeNotFound, "")))
}

// A variable of type *Error that was never set, and was returned as an error.
func TestNilErrorPanicsNowhere(t *testing.T) {
	t.Parallel()
	const text = "a nil *aegis.Error was returned as an error"
	var unset *Error
	for _, err := range []error{unset, fmt.Errorf("x: %w", unset)} {
		require.False(t, IsWireError(err))
		require.Equal(t, CodeInternal, CodeOf(err))
		require.NotErrorIs(t, err, ErrNoResponders)
		require.NotErrorIs(t, err, context.Canceled)
	}
	require.EqualError(t, unset, "INTERNAL: "+text)
	require.Equal(t, CodeInternal, unset.Code())
	require.Equal(t, text, unset.Message())
	require.Empty(t, unset.Reason())
	require.Empty(t, unset.Details())
	detailed, err := unset.WithDetails(&aegisv1.Status{})
	require.NoError(t, err)
	require.Equal(t, text, detailed.Message())
	require.Len(t, detailed.Details(), 1)
	require.Empty(t, unset.Details())
}

func TestErrorfWrapsEachOfItsErrors(t *testing.T) {
	t.Parallel()
	one, two := errors.New("one"), errors.New("two")
	for _, e := range []*Error{
		Errorf(CodeAborted, "%w", one),
		Errorf(CodeAborted, "%w and %w", two, one),
	} {
		require.ErrorIs(t, e, one)
	}
	require.ErrorIs(t, Errorf(CodeAborted, "%w and %w", one, two), two)
	require.NoError(t, Errorf(CodeAborted, "%v", one).Unwrap())
}

func TestWithDetailsLeavesTheErrorAlone(t *testing.T) {
	t.Parallel()
	e := NewError(CodeNotFound, "m")
	one, err := e.WithDetails(&aegisv1.Status{Message: "1"})
	require.NoError(t, err)
	two, err := one.WithDetails(&aegisv1.Status{Message: "2"})
	require.NoError(t, err)
	other, err := one.WithDetails(&aegisv1.Status{Message: "3"})
	require.NoError(t, err)
	require.Empty(t, e.Details())
	require.Len(t, one.Details(), 1)
	require.Len(t, two.Details(), 2)
	require.NotEqual(t, two.Details()[1].GetValue(), other.Details()[1].GetValue())
	_, err = e.WithDetails(&aegisv1.Status{Message: "\xff"})
	require.ErrorContains(t, err, "aegis: error detail *aegisv1.Status: ")
	_, err = e.WithDetails(nil)
	require.Error(t, err)
}

func TestSentinelMatchesItsReasonOnly(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, refusal(CodeUnavailable, ReasonNoResponders, "nobody"), ErrNoResponders)
	require.NotErrorIs(t, refusal(CodeUnavailable, ReasonStopping, "stop"), ErrNoResponders)
	require.NotErrorIs(t, NewError(CodeUnavailable, "m"), ErrNoResponders)
	require.NotErrorIs(t, ErrNoResponders, NewError(CodeUnavailable, "m"))
}

func errorReply(code, text, reason string, body []byte) *nats.Msg {
	return &nats.Msg{Data: body, Header: nats.Header{
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
func TestDecodeError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		msg     *nats.Msg
		code    Code
		message string
		details int
	}{
		"status":           {errorReply("5", "short", "", statusBody(t, CodeNotFound, "long", &aegisv1.Status{})), CodeNotFound, "long", 1},
		"no body":          {errorReply("5", "short", "", nil), CodeNotFound, "short", 0},
		"rubbish body":     {errorReply("5", "short", "", []byte("\xff\xff")), CodeNotFound, "short", 0},
		"another's body":   {errorReply("5", "short", "", statusBody(t, CodeAborted, "long")), CodeNotFound, "short", 0},
		"micro's code":     {errorReply("500", "short", "", []byte("text")), CodeUnknown, "short", 0},
		"code 0":           {errorReply("0", "short", "", nil), CodeUnknown, "short", 0},
		"code 17":          {errorReply("17", "short", "", nil), CodeUnknown, "short", 0},
		"negative code":    {errorReply("-5", "short", "", nil), CodeUnknown, "short", 0},
		"code that wraps":  {errorReply("4294967301", "short", "", nil), CodeUnknown, "short", 0},
		"code in letters":  {errorReply("NOT_FOUND", "short", "", nil), CodeUnknown, "short", 0},
		"nothing but code": {&nats.Msg{Header: nats.Header{wire.HeaderServiceErrorCode: {"16"}}}, CodeUnauthenticated, "", 0},
	} {
		e := decodeError(c.msg)
		require.Equal(t, c.code, e.Code(), name)
		require.Equal(t, c.message, e.Message(), name)
		require.Len(t, e.Details(), c.details, name)
		require.True(t, IsWireError(e), name)
	}
}

func FuzzDecodeError(f *testing.F) {
	f.Add("5", "text", "OVERLOADED", statusBody(f, CodeNotFound, "text", &aegisv1.Status{Code: 1}))
	f.Add("", "", "", []byte(nil))
	f.Add("4294967301", "\xff", "NO_RESPONDERS", []byte("\x08\x05\x12"))
	f.Add("007", "a\nb", "STALE", []byte("{}"))
	f.Fuzz(func(t *testing.T, code, text, reason string, body []byte) {
		e := decodeError(errorReply(code, text, reason, body))
		if e.Code() < minCode || e.Code() > maxCode {
			t.Fatalf("code %d", e.Code())
		}
		if n, err := strconv.ParseUint(code, 10, 32); err == nil && Code(n) >= minCode && Code(n) <= maxCode && e.Code() != Code(n) {
			t.Fatalf("code %d of %q", e.Code(), code)
		}
		if !IsWireError(e) || e.Error() == "" {
			t.Fatal(e)
		}
	})
}

// What comes from the wire may be long.
func TestQuote(t *testing.T) {
	t.Parallel()
	require.Equal(t, `"a\nb"`, quote("a\nb"))
	require.Len(t, quote(string(make([]byte, 1<<20))), 64*len(`\x00`)+len(`""...`))
}
