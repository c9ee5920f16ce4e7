package aegisreflect_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// echo is a service that some other program serves.
type echo struct{}

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

// withEcho calls f with a connection to a NATS server with an echo service.
func withEcho(f func(ctx context.Context, conn *aegis.Conn) error) error {
	nats, err := embednats.Start(embednats.Options{})
	if err != nil {
		return err
	}
	defer nats.Stop()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	conn, err := aegis.Connect(ctx, nats.ClientURL(), aegis.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	running := make(chan struct{})
	srv, err := aegis.NewServer(conn, aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			close(running)
		}
	}))
	if err != nil {
		return err
	}
	if err := echov1aegis.RegisterEchoServiceServer(srv, echo{}); err != nil {
		return err
	}
	serving, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- srv.Run(serving) }()
	<-running
	err = f(ctx, conn)
	end()
	return errors.Join(err, <-done)
}

// A program that has no generated code of the service calls it by its name.
func Example() {
	err := withEcho(func(ctx context.Context, conn *aegis.Conn) error {
		service, err := aegisreflect.New(conn).Service(ctx, "echo.v1.EchoService")
		if err != nil {
			return err
		}
		for _, m := range service.Methods() {
			fmt.Println(m.Name(), "is", m.Pattern())
			fmt.Println(aegisreflect.Comment(m.Descriptor()))
		}
		method, err := service.Method("Echo")
		if err != nil {
			return err
		}
		req, err := method.Request([]byte(`{"text": "hi"}`))
		if err != nil {
			return err
		}
		res, err := method.Call(ctx, req)
		if err != nil {
			return err
		}
		line, err := service.JSON(res)
		fmt.Println(string(line))
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// Echo is load balanced
	// Echo returns the text, and the instance that answered. An empty text is
	// INVALID_ARGUMENT.
	// {"text":"hi"}
}

// Mistakes in names and in JSON are errors that say how it is right.
func ExampleMethod_Request() {
	err := withEcho(func(ctx context.Context, conn *aegis.Conn) error {
		service, err := aegisreflect.New(conn).Service(ctx, "echo.v1.EchoService")
		if err != nil {
			return err
		}
		_, err = service.Method("Ecco")
		fmt.Println(err)
		method, err := service.Method("Echo")
		if err != nil {
			return err
		}
		for _, text := range []string{`{"txt": "hi"}`, `{"text": 7}`} {
			_, err = method.Request([]byte(text))
			fmt.Println(err)
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// NOT_FOUND: unknown method: echo.v1.EchoService has no method "Ecco"; did you mean Echo?
	// INVALID_ARGUMENT: the JSON of echo.v1.EchoRequest for echo.v1.EchoService.Echo: line 1, column 2: echo.v1.EchoRequest has no field "txt"; did you mean text?
	// INVALID_ARGUMENT: the JSON of echo.v1.EchoRequest for echo.v1.EchoService.Echo: line 1, column 10: text: expected a string, found 7
}
