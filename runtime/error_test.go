package aegis

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

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
	detailed := unset.WithDetails(&aegisv1.Status{})
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
	one := e.WithDetails(&aegisv1.Status{Message: "1"})
	two := one.WithDetails(&aegisv1.Status{Message: "2"})
	other := one.WithDetails(&aegisv1.Status{Message: "3"})
	require.Empty(t, e.Details())
	require.Len(t, one.Details(), 1)
	require.Len(t, two.Details(), 2)
	require.NotEqual(t, two.Details()[1].GetValue(), other.Details()[1].GetValue())
	require.Equal(t, "m", e.Message())
}

// The error goes out all the same: a handler has no better one to return.
func TestWithDetailsSaysWhichDetailIsLeftOut(t *testing.T) {
	t.Parallel()
	e := NewError(CodeNotFound, "m").WithDetails(&aegisv1.Status{Message: "1"}, &aegisv1.Status{Message: "\xff"}, nil, &aegisv1.Status{Message: "2"})
	require.Equal(t, CodeNotFound, e.Code())
	require.Len(t, e.Details(), 2)
	require.Regexp(t, `^m \(a detail of type \*aegisv1\.Status cannot be marshalled: .*UTF-8\) \(a detail of type <nil> cannot be marshalled: .*\)$`, e.Message())
	var none *aegisv1.Status
	require.Len(t, NewError(CodeNotFound, "m").WithDetails(none).Details(), 1, "an empty one")
}

// The public codes are those of google.rpc.Code below the face.
func TestCodesAreThoseOfTheStatus(t *testing.T) {
	t.Parallel()
	for c := CodeCanceled; c <= CodeUnauthenticated; c++ {
		require.True(t, status.Code(c).Known())
		require.Equal(t, status.Code(c).String(), c.String())
	}
	require.Equal(t, "NOT_FOUND", CodeNotFound.String())
	require.Equal(t, "CODE_17", (CodeUnauthenticated + 1).String())
}

func TestMayHaveRunIsFalseOnlyWhereItIsCertain(t *testing.T) {
	t.Parallel()
	unknown := NewError(CodeUnavailable, "m")
	certain := unknown.notRun(true)
	require.True(t, MayHaveRun(unknown), "the copy leaves the original alone")
	require.False(t, MayHaveRun(certain))
	require.False(t, MayHaveRun(fmt.Errorf("x: %w", certain)))
	require.False(t, MayHaveRun(Permanent(certain)))
	require.False(t, MayHaveRun(errors.Join(certain, certain)))
	require.True(t, MayHaveRun(errors.Join(certain, unknown)))
	require.True(t, MayHaveRun(asError(errors.Join(certain, unknown))), "the first is not all")
	require.False(t, MayHaveRun(asError(fmt.Errorf("x: %w", certain))))
	var unset *Error
	for _, err := range []error{nil, errors.New("plain"), context.Canceled, unset, certain.notRun(false), handlerError(certain)} {
		require.True(t, MayHaveRun(err), "%v", err)
	}
}

func TestSentinelMatchesItsReasonOnly(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, refusal(CodeUnavailable, ReasonNoResponders, "nobody"), ErrNoResponders)
	require.NotErrorIs(t, refusal(CodeUnavailable, ReasonStopping, "stop"), ErrNoResponders)
	require.NotErrorIs(t, NewError(CodeUnavailable, "m"), ErrNoResponders)
	require.NotErrorIs(t, ErrNoResponders, NewError(CodeUnavailable, "m"))
}

// What comes from the wire may be long.
func TestQuote(t *testing.T) {
	t.Parallel()
	require.Equal(t, `"a\nb"`, quote("a\nb"))
	require.Len(t, quote(string(make([]byte, 1<<20))), 64*len(`\x00`)+len(`""...`))
}
