package spec

import (
	"time"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// CommandSpec has the values of a command's options.
type CommandSpec struct {
	Retry          Retry         // of attempts that fail
	AttemptTimeout time.Duration // how long an attempt may take without a progress report
	AckWait        time.Duration // how long a worker may give no sign of life
	ResultTTL      time.Duration // how long result and status are kept
}

const (
	defaultAttemptTimeout = 300 * time.Second
	defaultCommandAckWait = 10 * time.Second
	defaultResultTTL      = day
)

func (c *checker) command(m *methodContext, at Place, opts *aegisv1.Command) {
	m.decide(Command, at)
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
