// Package aegis is the runtime of services that protoc-gen-aegis generates: it
// connects to NATS, serves calls and makes them. Import it under its name, as
// generated code does:
//
//	import aegis "github.com/aegisrpc/aegis/runtime"
//
// # Connecting
//
// [Connect] makes a connection to NATS, and [NewConn] takes one that the program has
// made. Package aegisenv connects as the environment says, by the variables and contexts
// of the nats tool. All clients and servers of a process share one [Conn]. It comes back
// by itself after an outage: calls wait for that until their deadlines, and a server goes
// on serving. [WithNamespace] separates environments that share one NATS account.
//
// # Serving
//
// A server registers implementations of generated interfaces and runs:
//
//	conn, err := aegis.Connect(ctx, "nats://localhost:4222")
//	srv, err := aegis.NewServer(conn)
//	err = echov1aegis.RegisterEchoServiceServer(srv, echo{})
//	err = srv.Run(ctx) // serves until ctx ends, then drains
//
// [NewServer] takes each [ServerOption], and a generated Register function each
// [ServiceOption]. A handler finds the call that it serves with [CallFromContext].
//
// # Calling
//
// A client calls:
//
//	client, err := echov1aegis.NewEchoServiceClient(conn)
//	resp, err := client.Echo(ctx, &echov1.EchoRequest{Text: "hi"})
//
// The deadline of a call is that of its context, else the timeout that the proto gives
// the method. A generated client takes each [ClientOption] and a call each
// [CallOption]: [ToInstance] calls one instance, [LeastLoaded], [Random], [RoundRobin],
// [StickyKey] and [SelectBy] choose among the instances, [WaitForReady] waits for one.
// [NewCall] sends metadata, a [Header], and reads the metadata of the response.
//
// # Errors
//
// Every error of a call is an [*Error], or wraps one, with a [Code], a message for
// people and details for programs; [CodeOf] finds the code in any error. A handler
// returns [NewError] or [Errorf]. [WithErrorRedactor] keeps the texts of a server's
// other errors from its callers.
//
// One attempt of a call runs at most once. A call is tried again by itself only
// where no handler can have run (nobody listened, or the server refused it as
// overloaded, stopping or of unknown age), or where the proto declares the
// method idempotent. A call whose server died ends at its deadline, as
// [CodeDeadlineExceeded]; whether its handler ran is unknown then. [MayHaveRun] says of
// any error whether a handler may have run.
//
// # Patterns
//
// The proto says how each method works; generated code has a signature to match.
//
// Streams: a handler gets a [Sender], a [Receiver] or both; a client gets a [Receiver],
// a [UploadStream] or a [BidiStream]. [WithStreamWindow] bounds how far a sender may be
// ahead of its reader.
//
// Broadcasts: all instances answer, and the client iterates over each [Reply], or
// collects them with [CollectReplies]. [UntilReplies] and [UntilSilence] end the wait
// before the deadline.
//
// Single active methods: one instance at a time leads a group, and serves the calls to
// it. Its OnLeading method loads the state first. [TermFromContext] returns the [Term],
// with the fencing token for the stores that the leader writes to; [Server.Leading] and
// [Server.WatchLeading] return the terms of a server; [WithElection] sets how fast another
// instance takes over.
//
// Events: a generated publisher sends them, and a generated Subscribe function handles
// them on a server. It takes each [SubscribeOption]: [Compete] shares the events among
// instances, [EachInstance] gives all to each. A durable event is
// stored: publishing returns a [PubAck], or a [PubFuture] with many in flight; a handler
// sees the [Delivery], and an event that fails too often becomes a [DeadLetter].
//
// Commands: a client sends a command, with each [SendOption], such as [DedupeKey] or
// [NotBefore], and gets a [Command], with which it or another process reads status,
// progress and result, or cancels the command. The handler finds its [Job] with
// [JobFromContext]. A command that fails for good becomes a [DeadLetter] as well:
// [Conn.DeadLetters] lists them, [Conn.PutBack] has one handled again. [Permanent] marks
// errors that make further attempts pointless. [WithStorage] says how events and commands
// are kept, and [WithMaxConcurrency] how many handlers run at once.
//
// # Discovery
//
// [Conn.Instances], [Conn.Services] and [Conn.WatchInstances] return the running instances,
// each with its [State], its terms and its health. A server also hands out the descriptors
// of its services, with the comments of the proto, to tools that have no generated code of
// them; they are kept with stored events, commands and dead letters as well.
//
// # Observing
//
// An [Interceptor] wraps calls, streams, events and commands, at either side; set it by
// [WithInterceptors]. The packages aegislog, aegisvalidate, aegislimit and aegisotel have some;
// aegisprom shows the figures of a server to Prometheus. [WithLogger] sets where a
// connection or a server logs, [WithCheck] adds a check of an instance's health to its
// reports, and [WithStateHook] hears of each change of a server's [State].
//
// # Stopping
//
// [Server.Run] stops gracefully when its context ends: it takes no new calls and lets the
// running handlers finish, for as long as [WithGracePeriod] says. [Conn.Close] follows.
//
// # Generated code
//
// Only generated code uses the following names. They are exported for it, and not meant
// to be used by hand: [Client], [Handler], [EventHandler] and [Publisher] with their
// constructors; [UnaryMethod], [ServerStreamMethod], [ClientStreamMethod], [BidiStreamMethod],
// [BroadcastMethod], [CommandMethod], [CoreEvent] and [DurableEvent] with theirs;
// [RegisterService], [SubscribeEvents], [NewCommand], [Documented] with [Comment],
// [Unimplemented] and [SupportsPluginV1].
package aegis
