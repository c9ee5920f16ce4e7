package aegislog_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegislog"
)

// A client logs a call that nobody serves; the times are left out.
func Example() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{}
			}
			return a
		},
	}))
	logging, err := aegislog.New(logger)
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
	client, err := aegistestv1aegis.NewProbeServiceClient(conn, aegis.WithInterceptors(logging))
	if err != nil {
		panic(err)
	}
	_, err = client.Do(ctx, &testv1.DoRequest{})
	fmt.Println(aegis.CodeOf(err))
	// Output:
	// level=INFO msg="aegis: call" method=aegistest.v1.ProbeService.Do side=client pattern=load_balanced code=UNAVAILABLE reason=NO_RESPONDERS err="UNAVAILABLE (NO_RESPONDERS): no server of aegistest.v1.ProbeService listens on aegis.call.aegistest.v1.ProbeService.Do"
	// UNAVAILABLE
}
