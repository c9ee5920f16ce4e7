package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

type unary = func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error)

func intercept(f unary) aegis.InterceptorsOption {
	return aegis.WithInterceptors(aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
		return func(ctx context.Context, req proto.Message) (proto.Message, error) { return f(ctx, req, next) }
	}))
}

// tracer notes when its interceptors are entered and left.
type tracer struct {
	mu    sync.Mutex
	steps []string
}

func (r *tracer) step(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
}

func (r *tracer) as(name string) aegis.InterceptorsOption {
	return intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
		r.step("+" + name)
		defer r.step("-" + name)
		return next(ctx, req)
	})
}

func TestInterceptorsWrapEachOtherInOrder(t *testing.T) {
	t.Parallel()
	var r tracer
	conn := connect(t)
	serveWith(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		r.step("handler")
		return &testv1.DoResponse{}, nil
	}}, []aegis.ServiceOption{r.as("service1"), r.as("service2")}, r.as("server1"), r.as("server2"))
	client := newClient(t, conn, r.as("client1"), r.as("client2"))
	_, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Equal(t, []string{
		"+client1", "+client2", "+server1", "+server2", "+service1", "+service2", "handler",
		"-service2", "-service1", "-server2", "-server1", "-client2", "-client1",
	}, r.steps)
}

// PEERS 6: what a server's interceptor put in the request's place was ignored.
func TestWhatInterceptorsReplaceIsWhatTheNextOneGets(t *testing.T) {
	t.Parallel()
	type key struct{}
	replace := func(name string) aegis.InterceptorsOption {
		return intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
			call, ok := aegis.CallFromContext(ctx)
			require.True(t, ok)
			require.Equal(t, "Do", call.Method().Name)
			before, _ := ctx.Value(key{}).(string)
			res, err := next(context.WithValue(ctx, key{}, before+name), doRequest(req.(*testv1.DoRequest).GetText()+name))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return &testv1.DoResponse{Text: res.(*testv1.DoResponse).GetText() + name}, nil
		})
	}
	conn := connect(t)
	serve(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if req.GetText() == "failABC" {
			return nil, aegis.NewError(aegis.CodeAborted, "no")
		}
		return &testv1.DoResponse{Text: req.GetText() + "/" + ctx.Value(key{}).(string) + "/"}, nil
	}}, replace("B"), replace("C"))
	client := newClient(t, conn, replace("A"))
	res, err := client.Do(t.Context(), doRequest("x"))
	require.NoError(t, err)
	require.Equal(t, "xABC/BC/CBA", res.GetText())

	_, err = client.Do(t.Context(), doRequest("fail"))
	require.EqualError(t, err, "ABORTED: A: ABORTED: B: C: ABORTED: no")
	require.True(t, aegis.IsWireError(err))
}

func TestInterceptorsMayAnswerByThemselves(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	answer := intercept(func(context.Context, proto.Message, aegis.UnaryFunc) (proto.Message, error) {
		return &testv1.DoResponse{Text: "cached"}, nil
	})
	res, err := newClient(t, conn, answer).Do(t.Context(), doRequest(""))
	require.NoError(t, err, "there is no server")
	require.Equal(t, "cached", res.GetText())

	refuse := intercept(func(context.Context, proto.Message, aegis.UnaryFunc) (proto.Message, error) {
		return nil, errors.New("not today")
	})
	_, err = newClient(t, conn, refuse).Do(t.Context(), doRequest(""))
	require.EqualError(t, err, "UNKNOWN: not today", "every error has a code")
	require.Equal(t, "not today", asError(t, err).Message())
}

func TestInterceptorsOfTheClientSetAndReadMetadata(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if call, _ := aegis.CallFromContext(ctx); req.GetText() == "nested" && len(call.RequestHeader()) > 0 {
			t.Errorf("a nested call has inherited %v", call.RequestHeader())
		}
		return mirror(ctx, req)
	}})
	var client interface {
		Do(ctx context.Context, req *testv1.DoRequest, opts ...aegis.CallOption) (*testv1.DoResponse, error)
	}
	plainClient := newClient(t, conn)
	var got, nested string
	client = newClient(t, conn, intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
		call, _ := aegis.CallFromContext(ctx)
		call.RequestHeader().Set("token", "t")
		innerCtx, inner := aegis.NewCall(ctx)
		_, err := plainClient.Do(innerCtx, doRequest("")) // such as for the token
		require.NoError(t, err)
		nested = inner.ResponseHeader().Get("token")
		_, err = plainClient.Do(ctx, doRequest("nested"))
		require.NoError(t, err)
		res, err := next(ctx, req)
		got = call.ResponseHeader().Get("token")
		return res, err
	}))
	_, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Equal(t, "t", got)
	require.Empty(t, nested, "calls from within an interceptor do not inherit")
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("mine", "m")
	_, err = client.Do(ctx, doRequest(""))
	require.NoError(t, err)
	require.Equal(t, aegis.Header{"token": {"t"}, "mine": {"m"}}, call.ResponseHeader())
}

func TestInterceptorsSeeARetriedCallOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, getSubject, func(n int, msg *natsMsg) {
		if n == 1 {
			refuseWith(msg, aegis.CodeUnavailable, aegis.ReasonStopping)
			return
		}
		answerWith(msg, &testv1.GetResponse{})
	})
	var r tracer
	_, err := newClient(t, conn, r.as("client")).Get(t.Context(), getRequest(""))
	require.NoError(t, err)
	require.Equal(t, 2, requests.count())
	require.Equal(t, []string{"+client", "-client"}, r.steps)
}

func TestMistakesOfInterceptorsAreInternalErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		f              unary
		client, server string
	}{
		"wrong response": {
			func(context.Context, proto.Message, aegis.UnaryFunc) (proto.Message, error) {
				return &testv1.GetResponse{}, nil
			},
			"an interceptor of the client of aegistest.v1.ProbeService.Do returned *aegistestv1.GetResponse without an error in place of *aegistestv1.DoResponse",
			"an interceptor of the server of aegistest.v1.ProbeService.Do returned *aegistestv1.GetResponse without an error",
		},
		"no response": {
			func(context.Context, proto.Message, aegis.UnaryFunc) (proto.Message, error) { return nil, nil },
			"an interceptor of the client of aegistest.v1.ProbeService.Do returned <nil> without an error in place of *aegistestv1.DoResponse",
			"an interceptor of the server of aegistest.v1.ProbeService.Do returned <nil> without an error",
		},
		"nil response": {
			func(context.Context, proto.Message, aegis.UnaryFunc) (proto.Message, error) {
				return (*testv1.DoResponse)(nil), nil
			},
			"an interceptor of the client of aegistest.v1.ProbeService.Do returned *aegistestv1.DoResponse without an error in place of *aegistestv1.DoResponse",
			"an interceptor of the server of aegistest.v1.ProbeService.Do returned *aegistestv1.DoResponse without an error",
		},
		"wrong request": {
			func(ctx context.Context, _ proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
				return next(ctx, &testv1.GetRequest{})
			},
			"an interceptor of the client of aegistest.v1.ProbeService.Do passed on a request of type *aegistestv1.GetRequest",
			"an interceptor of the server passed on a request of type *aegistestv1.GetRequest in place of *aegistestv1.DoRequest to Do",
		},
		"foreign context": {
			func(_ context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
				return next(context.Background(), req)
			},
			"an interceptor of the client of aegistest.v1.ProbeService.Do passed on a context that does not derive from its own",
			"", // the handler has a context without call and deadline
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			serve(t, conn, probe{}, intercept(c.f), aegis.WithInstance("bad"))
			serve(t, conn, probe{}, aegis.WithInstance("good"))
			_, err := newClient(t, conn, intercept(c.f), aegis.ToInstance("good")).Do(t.Context(), doRequest(""))
			require.EqualError(t, err, "INTERNAL: "+c.client)
			_, err = newClient(t, conn).Do(t.Context(), doRequest(""), aegis.ToInstance("bad"))
			if c.server == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, "INTERNAL: "+c.server)
			require.True(t, aegis.IsWireError(err))
		})
	}
}

func TestPanickingInterceptorsOfAServerDoNotEndIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{}, intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
		res, err := next(ctx, req)
		if req.(*testv1.DoRequest).GetText() == "panic" {
			panic("secret")
		}
		return res, err
	}))
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest("panic"))
	require.EqualError(t, err, "INTERNAL: the handler of aegistest.v1.ProbeService.Do panicked")
	_, err = client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
}

// The slot of a call must be given back whatever happens on the way.
func TestPanickingInterceptorsOfAClientLeaveItUsable(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{})
	client := newClient(t, conn, intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
		res, err := next(ctx, req)
		if req.(*testv1.DoRequest).GetText() == "panic" {
			panic("mine")
		}
		return res, err
	}))
	require.PanicsWithValue(t, "mine", func() { _, _ = client.Do(t.Context(), doRequest("panic")) })
	res, err := client.Do(t.Context(), doRequest("fine"))
	require.NoError(t, err)
	require.Equal(t, "fine", res.GetText())
}
