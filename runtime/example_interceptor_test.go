package aegis_test

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// authenticate lets calls with a token pass.
func authenticate(next aegis.UnaryFunc) aegis.UnaryFunc {
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		call, _ := aegis.CallFromContext(ctx)
		if call.RequestHeader().Get("token") != "secret" {
			return nil, aegis.NewError(aegis.CodeUnauthenticated, "no token").AsRefusal(aegis.ReasonRefused)
		}
		return next(ctx, req)
	}
}

// An interceptor of a server that is for one method only.
func ExampleInterceptorsOption_ForMethods() {
	auth := aegis.WithInterceptors(aegis.InterceptorFunc(authenticate)).
		ForMethods(aegistestv1aegis.ProbeServiceDoFullName)
	err := withOrders(func(ctx context.Context, client aegistestv1aegis.ProbeServiceClient) {
		_, err := client.Do(ctx, &testv1.DoRequest{Text: "1"})
		fmt.Println(err, aegis.MayHaveRun(err))

		ctx, call := aegis.NewCall(ctx)
		call.RequestHeader().Set("token", "secret")
		call.RequestHeader().Set("tenant", "a")
		res, err := client.Do(ctx, &testv1.DoRequest{Text: "1"})
		fmt.Println(res.GetText(), err)
	}, auth)
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// UNAUTHENTICATED (REFUSED): no token false
	// order 1 <nil>
}

// auditor writes down the calls of methods that change something.
type auditor struct{ aegis.InterceptorFunc }

// ForMethod leaves methods without side effects alone: their calls cost nothing.
func (auditor) ForMethod(m aegis.Method, side aegis.Side) (aegis.Interceptor, error) {
	if m.IdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
		return nil, nil // no interceptor
	}
	name := fmt.Sprint(side, " ", m.Pattern(), " ", m.FullName()) // once, not for each call
	return aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
		return func(ctx context.Context, req proto.Message) (proto.Message, error) {
			res, err := next(ctx, req)
			fmt.Println(name, aegis.CodeOf(err) == 0)
			return res, err
		}
	}), nil
}

// An interceptor that is made for each method.
func ExampleMethodInterceptor() {
	auditing := auditor{func(next aegis.UnaryFunc) aegis.UnaryFunc { return next }}
	err := withOrders(func(ctx context.Context, client aegistestv1aegis.ProbeServiceClient) {
		ctx, call := aegis.NewCall(ctx)
		call.RequestHeader().Set("tenant", "a")
		_, _ = client.Do(ctx, &testv1.DoRequest{Text: "1"})
		_, _ = client.Get(ctx, &testv1.GetRequest{}) // has no side effects
	}, aegis.WithInterceptors(auditing))
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// server load_balanced aegistest.v1.ProbeService.Do true
}
