// Package aegisvalidate has an interceptor that validates messages by the rules that their
// .proto files give them, by protovalidate (https://protovalidate.com).
//
//	validation, err := aegisvalidate.New()
//	srv, err := aegis.NewServer(conn, aegis.WithInterceptors(validation))
//
// It validates requests, events and commands, not responses, and each message of a stream of
// requests:
//
//   - A server answers a request that breaks its rules with aegis.CodeInvalidArgument. The
//     details of the error have a buf.validate.Violations.
//   - At a client and a publisher the error is the same, and nothing is sent.
//   - Subscribers and workers do not try an event or a command again that breaks the rules, as
//     it would break them again: it goes to the dead letters, see aegis.Permanent.
//
// The handler has not run then, and aegis.MayHaveRun is false; except for a stream of
// requests: its handler runs, and gets the error from Recv.
//
// Rules that cannot be compiled are an error of the constructor that the interceptor is given
// to.
package aegisvalidate
