// Package aegislog has an interceptor that logs calls, streams, events and commands by
// log/slog: one line each, when it has ended, at clients, servers, publishers, subscribers
// and workers.
//
//	logging, err := aegislog.New(logger)
//	srv, err := aegis.NewServer(conn, aegis.WithInterceptors(logging))
//
// Messages and metadata are never logged. The attributes of a line are
//
//	method    the full name
//	side      client, server, publisher, subscriber or worker
//	pattern   load_balanced, single_active, broadcast, event or command
//	code      OK, or the code of the error
//	duration  until the handler or the call has returned, or the stream has ended
//	instance  the instance of a server, a subscriber or a worker
//	attempt   the attempt, of those sides, from 2 on
//	command   the id of the command, of a worker
//	sent      how many messages of a stream this side has sent
//	received  how many it has received; of a broadcast, how many replies
//	reason    the aegis.Reason of the error, if it has one
//	err       the error
//
// Put the interceptor first, so that the line tells what the caller gets.
package aegislog
