// Package aegis is the runtime of services that protoc-gen-aegis generates: it
// connects to NATS, serves calls and makes them. Import it under its name, as
// generated code does:
//
//	import aegis "github.com/aegisrpc/aegis/runtime"
//
// A server registers implementations of generated interfaces and runs:
//
//	conn, err := aegis.Connect(ctx, "nats://localhost:4222")
//	srv, err := aegis.NewServer(conn)
//	err = echov1aegis.RegisterEchoServiceServer(srv, echo{})
//	err = srv.Run(ctx) // serves until ctx ends, then drains
//
// A client calls:
//
//	client, err := echov1aegis.NewEchoServiceClient(conn)
//	resp, err := client.Echo(ctx, &echov1.EchoRequest{Text: "hi"})
//
// # What a call promises
//
// One attempt of a call runs at most once. A call is tried again by itself only
// where no handler can have run (nobody listened, or the server refused it as
// overloaded, stopping or of unknown age), or where the proto declares the
// method idempotent. A call whose server died ends at its deadline, as
// CodeDeadlineExceeded; whether its handler ran is unknown then. MayHaveRun says of any
// error whether a handler may have run.
//
// Types that generated code alone uses (Client, UnaryMethod, Handler) are
// exported for it, and not meant to be used by hand.
package aegis
