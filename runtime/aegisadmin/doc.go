// Package aegisadmin looks after the stored work and the leaders of services: the commands
// in their queues, dead letters, consumers that are paused, streams, and leaderships. It
// needs no generated code of the services, and none of them has to run. The command aegis
// uses it, and so can programs of one's own:
//
//	admin := aegisadmin.New(conn)
//	for c, err := range admin.Commands(ctx, orderv1aegis.OrderServiceName, aegisadmin.CommandFilter{}) { ... }
//
// Everything is read from NATS when it is asked for, a few messages at a time, so that a queue
// of a million commands takes no more memory than one of ten. What is shown may have
// changed by the time it is read.
//
// Errors are *aegis.Error. The code is CodeInvalidArgument for a name that no service can
// have, CodePermissionDenied if NATS does not allow this user what is asked, and
// CodeUnavailable if NATS or JetStream does not answer. docs/protocol.md lists the least
// permissions. Without a deadline of its context, each question to NATS may take 5 s.
package aegisadmin
