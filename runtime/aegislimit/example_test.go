package aegislimit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegislimit"
)

// A client may make one call in ten seconds, and two at once.
func Example() {
	limit, err := aegislimit.New(0.1, 2)
	if err != nil {
		panic(err)
	}
	nats, err := embednats.Start(embednats.Options{}) // in place of a NATS server
	if err != nil {
		panic(err)
	}
	defer nats.Stop()
	ctx := context.Background()
	conn, err := aegis.Connect(ctx, nats.ClientURL(), aegis.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	defer conn.Close(ctx)
	client, err := aegistestv1aegis.NewProbeServiceClient(conn, aegis.WithInterceptors(limit))
	if err != nil {
		panic(err)
	}
	for range 3 {
		_, err = client.Do(ctx, &testv1.DoRequest{}) // nobody serves
		fmt.Println(aegis.CodeOf(err), aegis.MayHaveRun(err))
	}
	var info errdetails.RetryInfo
	if e, ok := errors.AsType[*aegis.Error](err); ok && e.Details()[0].UnmarshalTo(&info) == nil {
		fmt.Println("again in less than 10 s:", info.GetRetryDelay().AsDuration() < 10*time.Second)
	}
	// Output:
	// UNAVAILABLE false
	// UNAVAILABLE false
	// RESOURCE_EXHAUSTED false
	// again in less than 10 s: true
}

// Each tenant may make 100 calls a second to a server; the limit is for the methods of one
// service that are not broadcasts.
func ExamplePerHeader() {
	limit, err := aegislimit.New(100, 20, aegislimit.PerHeader("tenant", 10_000))
	if err != nil {
		panic(err)
	}
	_ = aegis.WithInterceptors(limit).Where(func(m aegis.Method) bool {
		return m.Pattern() != aegis.PatternBroadcast
	})
	// Output:
}
