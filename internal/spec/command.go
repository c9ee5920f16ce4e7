package spec

import (
	"time"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// CommandSpec is what holds for a command.
type CommandSpec struct {
	Retry          Retry
	AttemptTimeout time.Duration
	AckWait        time.Duration
	ResultTTL      time.Duration
}

const (
	defaultAttemptTimeout = 300 * time.Second
	defaultCommandAckWait = 10 * time.Second
	defaultResultTTL      = day
)

func (c *checker) command(m *methodContext, at Place, opts *aegisv1.Command) {
	m.Pattern = Command
	c.unaryOnly(m, at, "a command")
	m.Command = &CommandSpec{
		Retry:          c.retry(at.Field("retry"), opts.GetRetry(), defaultCommandAttempts),
		AttemptTimeout: c.duration(at.Field("attempt_timeout"), opts.GetAttemptTimeout(), timeoutRange, defaultAttemptTimeout),
		AckWait:        c.duration(at.Field("ack_wait"), opts.GetAckWait(), ackWaitRange, defaultCommandAckWait),
		ResultTTL:      c.duration(at.Field("result_ttl"), opts.GetResultTtl(), resultTTLRange, defaultResultTTL),
	}
	if sa := opts.GetSingleActive(); sa != nil {
		m.Group = c.group(at.Field("single_active").Field("group"), sa.GetGroup())
	}
}
