package collect

import (
	"context"
	"errors"
	"time"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// lookAtServer is how often the server of the connection, and whether there is
	// JetStream, is looked at again.
	lookAtServer = 15 * time.Second
	// accountTimeout bounds the question whether there is JetStream.
	accountTimeout = 2 * time.Second
)

// followConnection tells the board when the connection is there and when it is lost.
func (c *Collector) followConnection(ctx context.Context) {
	var told *board.Server // nil while the board knows of no connection
	var returns uint64
	for ctx.Err() == nil {
		state := c.in.Bus.Link.State()
		if told != nil && (!state.Up || state.Returns != returns) {
			told = nil
			c.board.Disconnected(time.Now())
		}
		if state.Up {
			returns = state.Returns
			now := c.server(told)
			if told == nil || *told != now {
				told = &now
				c.board.Connected(time.Now(), now)
			}
			asked := now
			asked.JetStream = c.hasJetStream(ctx, now.JetStream)
			if asked != now && c.in.Bus.Link.State() == state && ctx.Err() == nil {
				told = &asked
				c.board.Connected(time.Now(), asked)
			}
		}
		sleep(ctx, lookAtServer, state.Changed())
	}
}

// server returns the NATS server of the connection, with what is known of JetStream from
// before.
func (c *Collector) server(told *board.Server) board.Server {
	nc := c.conn.NATS()
	s := board.Server{Name: nc.ConnectedServerName(), Version: nc.ConnectedServerVersion(), Cluster: nc.ConnectedClusterName(), JetStream: true}
	if told != nil {
		s.JetStream = told.JetStream
	}
	return s
}

// hasJetStream asks whether the account has JetStream. Where this user may not ask, or
// nobody answers, it is as it was: what is read of JetStream says what is missing.
func (c *Collector) hasJetStream(ctx context.Context, was bool) bool {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	asking, why := c.in.Stores.Allowed(ctx, "INFO")
	_, err := c.in.Stores.JetStream().AccountInfo(asking)
	switch err = why(err); {
	case err == nil:
		return true
	case errors.Is(err, stores.ErrPermission):
		return was
	case noJetStream(err):
		return false
	default:
		return was
	}
}
