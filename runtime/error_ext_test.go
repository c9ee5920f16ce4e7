package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// failing serves a Do that fails with what fail returns.
func failing(t *testing.T, fail func(ctx context.Context, text string) error) (do func(text string) error, log *logs) {
	t.Helper()
	conn := connect(t)
	log = &logs{}
	serve(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		return &testv1.DoResponse{}, fail(ctx, req.GetText())
	}}, log.option())
	client := newClient(t, conn)
	return func(text string) error {
		_, err := client.Do(t.Context(), doRequest(text))
		return err
	}, log
}

func TestErrorsTravelWithCodeMessageAndDetails(t *testing.T) {
	t.Parallel()
	codes := map[string]aegis.Code{}
	for c := aegis.CodeCanceled; c <= aegis.CodeUnauthenticated; c++ {
		codes[c.String()] = c
	}
	require.Len(t, codes, 16)
	do, _ := failing(t, func(_ context.Context, text string) error {
		return aegis.NewError(codes[text], "about "+text).WithDetails(getRequest("first"), doRequest("second"))
	})
	for name, code := range codes {
		err := do(name)
		e := asError(t, err)
		require.Equal(t, code, e.Code())
		require.Equal(t, code, aegis.CodeOf(err))
		require.Equal(t, "about "+name, e.Message())
		require.Equal(t, name+": about "+name, e.Error())
		require.Empty(t, e.Reason())
		require.True(t, aegis.IsWireError(err))
		require.Len(t, e.Details(), 2)
		first, unpackErr := e.Details()[0].UnmarshalNew()
		require.NoError(t, unpackErr)
		require.Equal(t, "first", first.(*testv1.GetRequest).GetText())
		var second testv1.DoRequest
		require.NoError(t, e.Details()[1].UnmarshalTo(&second))
		require.Equal(t, "second", second.GetText())
	}
}

func TestErrorsOfAllKindsHaveACode(t *testing.T) {
	t.Parallel()
	notFound := aegis.NewError(aegis.CodeNotFound, "no order 7")
	var typedNil *aegis.Error
	cases := map[string]struct {
		err     error
		code    aegis.Code
		message string
	}{
		"plain":           {errors.New("disk is full"), aegis.CodeUnknown, "disk is full"},
		"canceled":        {context.Canceled, aegis.CodeCanceled, "context canceled"},
		"deadline":        {fmt.Errorf("read: %w", context.DeadlineExceeded), aegis.CodeDeadlineExceeded, "read: context deadline exceeded"},
		"wrapped":         {fmt.Errorf("load: %w", notFound), aegis.CodeNotFound, "load: NOT_FOUND: no order 7"},
		"joined":          {errors.Join(errors.New("one"), notFound), aegis.CodeNotFound, "one\nNOT_FOUND: no order 7"},
		"formatted":       {aegis.Errorf(aegis.CodeAborted, "try %d: %w", 2, errors.New("conflict")), aegis.CodeAborted, "try 2: conflict"},
		"no such code":    {aegis.NewError(99, "odd"), aegis.CodeUnknown, "odd"},
		"zero code":       {aegis.NewError(0, "odd"), aegis.CodeUnknown, "odd"},
		"empty":           {errors.New(""), aegis.CodeUnknown, ""},
		"several lines":   {errors.New("one\r\ntwo\x00"), aegis.CodeUnknown, "one\r\ntwo\x00"},
		"not UTF-8":       {errors.New("bad \xff byte"), aegis.CodeUnknown, "bad \uFFFD byte"},
		"white space":     {errors.New("  \t "), aegis.CodeUnknown, "  \t "},
		"long":            {errors.New(string(make([]byte, 100_000))), aegis.CodeUnknown, string(make([]byte, 100_000))},
		"nil *Error":      {typedNil, aegis.CodeInternal, "a nil *aegis.Error was returned as an error"},
		"cannot tell":     {&mute{}, aegis.CodeInternal, "the handler of aegistest.v1.ProbeService.Do panicked"},
		"nobody listened": {aegis.ErrNoResponders, aegis.CodeUnavailable, "no server listens"},
	}
	do, _ := failing(t, func(_ context.Context, text string) error { return cases[text].err })
	for name, c := range cases {
		err := do(name)
		e := asError(t, err)
		require.Equal(t, c.code, e.Code(), name)
		require.Equal(t, c.message, e.Message(), name)
		require.True(t, aegis.IsWireError(err), name)
		require.Empty(t, e.Reason(), "%s: what holds for another call does not hold for this one", name)
		require.NotErrorIs(t, err, aegis.ErrNoResponders, name)
	}
}

// mute panics when it is asked what is wrong, as a nil pointer of many error
// types does.
type mute struct{}

func (*mute) Error() string { panic("no text") }

// What a handler returns that it got from a call of its own may say that
// nothing has run. Sent on, its caller would try again, though this handler ran.
func TestReasonsDoNotLeakThroughHandlers(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var downstream error
	var ran int
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		ran++
		return nil, fmt.Errorf("downstream: %w", downstream)
	}})
	client := newClient(t, conn)
	_, nobody := client.Get(t.Context(), getRequest(""), aegis.ToInstance("nobody"))
	_, tooLarge := client.Do(t.Context(), &testv1.DoRequest{Data: make([]byte, 2<<20)})
	var refused []error
	for _, reason := range []string{aegis.ReasonOverloaded, aegis.ReasonStopping, aegis.ReasonStale} {
		refused = append(refused, refusedWith(t, conn, reason))
	}
	for _, downstream = range append(refused, nobody, tooLarge) {
		require.NotEmpty(t, asError(t, downstream).Reason())
		ran = 0
		_, err := client.Do(t.Context(), doRequest(""))
		e := asError(t, err)
		require.Empty(t, e.Reason())
		require.Equal(t, aegis.CodeOf(downstream), e.Code())
		require.Equal(t, 1, ran, "the call is not tried again")
	}
}

func refusedWith(t *testing.T, conn *aegis.Conn, reason string) error {
	t.Helper()
	subject := "aegis.inst.standin.aegistest.v1.ProbeService.Do"
	s := standInFor(t, conn, subject, func(_ int, msg *natsMsg) { refuseWith(msg, aegis.CodeUnavailable, reason) })
	defer s.leave(t)
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""), aegis.ToInstance("standin"), aegis.MaxAttempts(1))
	require.Equal(t, reason, asError(t, err).Reason())
	return err
}

// PEERS 12: a handler that panicked never replied; a stack trace went to the
// caller.
func TestServerSurvivesPanics(t *testing.T) {
	t.Parallel()
	panics := map[string]func(){
		"text":    func() { panic("secret") },
		"error":   func() { panic(errors.New("secret")) },
		"nil":     func() { panic(nil) },                            //nolint:govet // that is the case
		"runtime": func() { var m map[string]int; m["secret"] = 1 }, //nolint:govet,staticcheck // that is the case
		"own":     func() { panic(aegis.NewError(aegis.CodeNotFound, "secret")) },
	}
	do, log := failing(t, func(_ context.Context, text string) error { panics[text](); return nil })
	n := 0
	for name := range panics {
		e := asError(t, do(name))
		n++
		require.Equal(t, aegis.CodeInternal, e.Code(), name)
		require.Equal(t, "the handler of aegistest.v1.ProbeService.Do panicked", e.Message(), name)
		require.Empty(t, e.Details())
		require.True(t, aegis.IsWireError(e))
		require.Equal(t, n, log.count("a handler panicked"))
	}
	require.Contains(t, log.String(), "secret", "what is for the log is in the log")
	require.Contains(t, log.String(), "error_ext_test.go", "and so is the stack")
}

// More of them than there are workers.
func TestServerSurvivesHandlersThatEndTheirGoroutine(t *testing.T) {
	t.Parallel()
	do, log := failing(t, func(_ context.Context, text string) error {
		if text == "exit" {
			runtime.Goexit()
		}
		return nil
	})
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for range 20 {
				e := do("exit")
				if aegis.CodeOf(e) != aegis.CodeInternal {
					t.Errorf("got %v", e)
				}
			}
		})
	}
	callers.Wait()
	require.NoError(t, do("stay"))
	require.Equal(t, 400, log.count("a handler ended its goroutine"))
}

func TestHandlerThatReturnsNothingIsAnError(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) { return nil, nil }})
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	require.EqualError(t, err, "INTERNAL: the handler of Do returned neither a response nor an error")
}

func TestUnimplementedMethodsSaySo(t *testing.T) {
	t.Parallel()
	err := aegis.Unimplemented("a.B.C")
	require.Equal(t, aegis.CodeUnimplemented, aegis.CodeOf(err))
	require.EqualError(t, err, "UNIMPLEMENTED: a.B.C is not implemented by this server")
}
