// Package aegislimit has an interceptor that limits how many calls, events and commands pass
// in a second, by the token buckets of golang.org/x/time/rate: in this process, for each
// method, or for each value of a header or another key.
//
//	limit, err := aegislimit.New(1000, 200, aegislimit.PerHeader("tenant", 10_000))
//	srv, err := aegis.NewServer(conn, aegis.WithInterceptors(limit))
//
// Each one beyond the limit is refused with aegis.CodeResourceExhausted before anything runs, so
// that aegis.MayHaveRun is false, and the error has a google.rpc.RetryInfo as a detail, which
// says after which time there is room again. Whether the client tries such a call again by
// itself depends on whose limit it is:
//
//   - A limit of a server without a key is that of one process. The reason is
//     aegis.ReasonOverloaded, and the client asks another instance, within its retry budget,
//     as it does if the server runs as many handlers as it may.
//   - A limit by a key is that of a caller. The reason is aegis.ReasonRefused, and nothing is
//     tried again, as each instance would let the caller exceed its limit once more.
//   - At clients and publishers the reason is aegis.ReasonRefused as well: the limit is
//     that of the program itself. Nothing has been sent.
//
// Handlers of events and commands wait for their turn in place of refusing, as an event or a
// command that is refused would use up one of its attempts: until then it is under way, and
// others wait where NATS stores them. Events that are not durable are stored nowhere: more of
// them than the limit allows for long are lost. WithWait makes calls wait as well.
//
// Of a stream the limit counts the opening, not the messages.
package aegislimit
