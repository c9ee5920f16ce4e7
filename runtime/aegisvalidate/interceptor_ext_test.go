package aegisvalidate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/leaktest"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/aegisvalidate"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

const patience = 30 * time.Second

func validation(t *testing.T, opts ...aegisvalidate.Option) aegis.Interceptor {
	t.Helper()
	in, err := aegisvalidate.New(opts...)
	require.NoError(t, err)
	return in
}

// invalid checks the error of a text that is too short, and returns its reason.
func invalid(t *testing.T, err error) string {
	t.Helper()
	e, ok := errors.AsType[*aegis.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, aegis.CodeInvalidArgument, e.Code())
	require.Contains(t, e.Message(), "text: must be at least 3 characters")
	require.Len(t, e.Details(), 1)
	var violations validatepb.Violations
	require.NoError(t, e.Details()[0].UnmarshalTo(&violations))
	require.Len(t, violations.GetViolations(), 1)
	require.Equal(t, "string.min_len", violations.GetViolations()[0].GetRuleId())
	return e.Reason()
}

func refused(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, aegis.ReasonRefused, invalid(t, err))
	require.False(t, aegis.MayHaveRun(err))
}

func TestAServerRefusesRequestsThatBreakTheirRules(t *testing.T) {
	t.Parallel()
	conn, seen := serve(t, aegis.WithInterceptors(validation(t)))
	c := newClient(t, conn)
	_, err := c.put.Call(t.Context(), newNote("abc"))
	require.NoError(t, err, "nor is the response validated")
	_, err = c.put.Call(t.Context(), newNote("ab"))
	refused(t, err)
	require.True(t, aegis.IsWireError(err))

	in, err := c.download.Open(t.Context(), newNote("ab"))
	if err == nil {
		_, err = in.Recv()
	}
	refused(t, err)
	in, err = c.download.Open(t.Context(), newNote("abc"))
	require.NoError(t, err)
	_, err = in.Recv()
	require.NoError(t, err)
	require.Equal(t, []string{"put abc", "download abc"}, seen.all())
	require.NoError(t, in.Close())
}

func TestEachMessageOfAStreamIsValidated(t *testing.T) {
	t.Parallel()
	conn, seen := serve(t, aegis.WithInterceptors(validation(t)))
	up, err := newClient(t, conn).upload.Open(t.Context())
	require.NoError(t, err)
	require.NoError(t, up.Send(newNote("abc")))
	require.NoError(t, up.Send(newNote("ab")))
	_, err = up.CloseAndRecv()
	require.Empty(t, invalid(t, err))
	require.True(t, aegis.MayHaveRun(err), "the handler has had a message before")
	require.Equal(t, []string{"upload abc"}, seen.all())

	up, err = newClient(t, conn, validation(t)).upload.Open(t.Context())
	require.NoError(t, err)
	err = up.Send(newNote("ab"))
	invalid(t, err)
	require.True(t, aegis.MayHaveRun(err), "the handler runs")
	require.NoError(t, up.Send(newNote("abcd")), "the other message was not sent")
	_, err = up.CloseAndRecv()
	require.NoError(t, err)
	require.Equal(t, []string{"upload abc", "upload abcd"}, seen.all())
}

func TestClientsAndPublishersSendNothingThatIsInvalid(t *testing.T) {
	t.Parallel()
	conn, seen := serve(t)
	c := newClient(t, conn, validation(t))
	_, err := c.put.Call(t.Context(), newNote("ab"))
	refused(t, err)
	require.False(t, aegis.IsWireError(err))
	_, err = c.download.Open(t.Context(), newNote("ab"))
	refused(t, err)
	_, err = c.work.Send(t.Context(), newNote("ab"))
	refused(t, err)
	_, err = c.noted.Publish(t.Context(), newNote("ab"))
	refused(t, err)
	_, err = c.put.Call(t.Context(), newNote("abc"))
	require.NoError(t, err)
	_, err = c.noted.Publish(t.Context(), newNote("abc"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(seen.all()) == 2 }, patience, time.Millisecond)
	require.ElementsMatch(t, []string{"put abc", "noted abc"}, seen.all())
}

func TestInvalidEventsAndCommandsAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	conn, seen := serve(t, aegis.WithInterceptors(validation(t)))
	c := newClient(t, conn)
	command, err := c.work.Send(t.Context(), newNote("ab"))
	require.NoError(t, err)
	_, err = command.Result(t.Context())
	invalid(t, err)
	status, err := command.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, status.Attempt)

	_, err = c.noted.Publish(t.Context(), newNote("ab"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(deadLetters(t, conn)) == 1 }, patience, 10*time.Millisecond)
	letter := deadLetters(t, conn)[0]
	require.Equal(t, 1, letter.Attempts)
	require.Contains(t, letter.Reason, "text: must be at least 3 characters")
	require.Empty(t, seen.all())
}

func deadLetters(t *testing.T, conn *aegis.Conn) (letters []*aegis.DeadLetter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for letter, err := range conn.DeadLetters(ctx, "notes.v1.NoteEvents") {
		require.NoError(t, err)
		letters = append(letters, letter)
	}
	return letters
}

func TestRulesThatDoNotCompileAreAnErrorOfTheConstructor(t *testing.T) {
	t.Parallel()
	_, err := aegis.NewClient(aegistest.Connect(t), file().Services().ByName("WrongService"), aegis.WithInterceptors(validation(t)))
	require.ErrorContains(t, err, "aegis: an interceptor of notes.v1.WrongService.Put: aegisvalidate: the rules of notes.v1.Wrong: ")
	_, ok := errors.AsType[*protovalidate.CompilationError](err)
	require.True(t, ok)
}

func TestAValidatorOfOnesOwn(t *testing.T) {
	t.Parallel()
	v, err := protovalidate.New(protovalidate.WithFailFast())
	require.NoError(t, err)
	conn, _ := serve(t, aegis.WithInterceptors(validation(t, aegisvalidate.WithValidator(v))))
	_, err = newClient(t, conn).put.Call(t.Context(), newNote("ab"))
	refused(t, err)
}

// An interceptor of a user may wrap this one without asking for the method.
func TestItValidatesInsideAnInterceptorThatKnowsNoMethods(t *testing.T) {
	t.Parallel()
	in := validation(t)
	conn, seen := serve(t, aegis.WithInterceptors(aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
		next = in.WrapUnary(next)
		return func(ctx context.Context, req proto.Message) (proto.Message, error) { return next(ctx, req) }
	})))
	c := newClient(t, conn)
	_, err := c.put.Call(t.Context(), newNote("ab"))
	refused(t, err)
	command, err := c.work.Send(t.Context(), newNote("ab"))
	require.NoError(t, err)
	_, err = command.Result(t.Context())
	invalid(t, err)
	require.Empty(t, seen.all())
}

func TestMistakesOfNew(t *testing.T) {
	t.Parallel()
	_, err := aegisvalidate.New(nil)
	require.EqualError(t, err, "aegisvalidate: an option is nil")
	_, err = aegisvalidate.New(aegisvalidate.WithValidator(nil))
	require.EqualError(t, err, "aegisvalidate: the validator is nil")
}
