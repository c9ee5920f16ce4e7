package doctor

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	jobQueue   = "aegis-commands-aegistest-v1-JobService"
	eventQueue = "aegis-events-aegistest-v1-EventService"
	// soon is --stuck-after of these tests: what waits counts as stuck almost at once.
	soon = 50 * time.Millisecond
)

// Commands that were sent before any server has worked them have no consumer.
func TestCommandsWithoutAConsumerAreStuck(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	send(t, n.Connect(t), 3)
	s := session(t, n.URL())
	found := becomes(t, s, Scope{StuckAfter: soon}, func(found []Finding) bool { return has(found, "queues.stuck", Failure) }, "queues")
	f := find(t, found, "queues.stuck", jobQueue+" aegis.cmd.aegistest.v1.JobService.Work.n.*.*")
	assert.Contains(t, f.Text, "3 commands of Work wait")
	assert.Contains(t, f.Text, "no consumer takes them")
	quiet(t, examine(t, s, Scope{StuckAfter: time.Hour}, "queues"), OK)
}

func TestPausedConsumerIsStuck(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	serveJobs(t, conn, done)
	send(t, conn, 1)
	s := session(t, n.URL())
	js := jetStream(t, n.URL())
	drained(t, js, jobQueue, "w-Work-n")
	_, err := js.PauseConsumer(t.Context(), jobQueue, "w-Work-n", time.Now().Add(time.Hour))
	require.NoError(t, err)
	send(t, conn, 2)
	found := becomes(t, s, Scope{StuckAfter: soon}, func(found []Finding) bool { return has(found, "queues.stuck", Failure) }, "queues")
	f := find(t, found, "queues.stuck", jobQueue+" w-Work-n")
	assert.Contains(t, f.Text, "2 commands of Work wait")
	assert.Contains(t, f.Text, "the consumer is paused")
	assert.Equal(t, "nats consumer resume "+jobQueue+" w-Work-n", f.Remedy)

	_, err = js.ResumeConsumer(t.Context(), jobQueue, "w-Work-n")
	require.NoError(t, err)
	becomes(t, s, Scope{StuckAfter: soon}, func(found []Finding) bool { return has(found, "queues.empty", OK) }, "queues")
}

// The worker is gone, and its consumer is there.
func TestQueueThatNobodyAsksIsStuck(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	js := jetStream(t, n.URL())
	stop := serveUntil(t, n.Connect(t), subscriptions)
	publish(t, conn, 1)
	drained(t, js, eventQueue, "g-mail-Stored")
	stop()
	publish(t, conn, 2)
	found := becomes(t, session(t, n.URL()), Scope{StuckAfter: soon}, func(found []Finding) bool {
		return slices.ContainsFunc(found, func(f Finding) bool { return f.ID == "queues.stuck" && f.Subject == eventQueue+" g-mail-Stored" })
	}, "queues")
	f := find(t, found, "queues.stuck", eventQueue+" g-mail-Stored")
	assert.Contains(t, f.Text, "2 events of Stored wait")
	assert.Contains(t, f.Text, "nobody asks for them")
	assert.Contains(t, f.Remedy, "nats consumer rm "+eventQueue+" g-mail-Stored")
	_, err := js.Consumer(t.Context(), eventQueue, "g-mail-Stored")
	require.NoError(t, err, "nothing was removed")
}

func TestBacklogThatIsWorkedIsNoFault(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	release := make(chan struct{})
	serveLeadersWith(t, conn, func(ctx context.Context) {
		select {
		case <-release:
		case <-ctx.Done():
		}
	})
	t.Cleanup(func() { close(release) }) // before the server stops
	arrange(t, conn, 3)                  // in order, one at a time
	found := becomes(t, session(t, n.URL()), Scope{StuckAfter: soon}, func(found []Finding) bool { return has(found, "queues.behind", Info) }, "queues")
	assert.Contains(t, find(t, found, "queues.behind", "").Text, "2 commands of Arrange wait")
	quiet(t, found, Info)
}

func TestDeadLettersAreTold(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	serveJobs(t, conn, func(context.Context) error { return assert.AnError })
	send(t, conn, 2)
	found := becomes(t, session(t, n.URL()), Scope{}, func(found []Finding) bool { return has(found, "dead.growing", Warning) }, "dead")
	f := find(t, found, "dead.growing", jobService)
	assert.Contains(t, f.Text, "dead letter")
	assert.Contains(t, f.Remedy, "aegis deadletters")
	assert.Equal(t, "dead.letters", judgeDead("a.v1.S", 1, 2*time.Hour).ID, "old ones do not grow")
}

func TestJudgeQueue(t *testing.T) {
	t.Parallel()
	base := queue{stream: "s", service: "a.v1.S", consumer: "w-M-n", filter: "f", what: "commands of M", maxPending: 100, ackWait: time.Second}
	for name, c := range map[string]struct {
		change   func(*queue)
		served   map[string]bool
		id       string
		severity Severity
		text     string
	}{
		"young":         {func(q *queue) { q.pending, q.age, q.delivered = 1, time.Second, never }, nil, "", OK, ""},
		"stuck":         {func(q *queue) { q.pending, q.age, q.delivered = 1, time.Minute, never }, nil, "queues.stuck", Failure, "nobody asks"},
		"asked":         {func(q *queue) { q.pending, q.age, q.delivered, q.waiting = 1, time.Minute, never, 1 }, nil, "queues.stuck", Failure, "NATS delivers none"},
		"draining":      {func(q *queue) { q.pending, q.age = 9, time.Hour }, nil, "queues.behind", Info, "they are being worked"},
		"blocked":       {func(q *queue) { q.pending, q.age, q.held = 9, time.Hour, 100 }, nil, "queues.blocked", Warning, "max_ack_pending"},
		"held":          {func(q *queue) { q.held, q.delivered = 1, time.Hour }, map[string]bool{"a.v1.S": true}, "queues.held", Warning, "take long"},
		"lost":          {func(q *queue) { q.held, q.delivered = 1, time.Hour }, map[string]bool{}, "queues.stuck", Failure, "a process that is gone"},
		"lost, unknown": {func(q *queue) { q.held, q.delivered = 1, time.Hour }, nil, "queues.held", Warning, "or their process is gone"},
		"lost, but subscriber": {
			func(q *queue) { q.held, q.delivered, q.subscriber = 1, time.Hour, true },
			map[string]bool{"a.v1.S": true},
			"queues.stuck", Failure, "a process that is gone",
		},
		"at work":     {func(q *queue) { q.held, q.delivered, q.waiting = 1, time.Hour, 1 }, nil, "", OK, ""},
		"redelivered": {func(q *queue) { q.redelivered = 3 }, nil, "queues.redelivered", Info, "3 messages"},
		"often":       {func(q *queue) { q.redelivered = 300 }, nil, "queues.redelivered", Warning, "300 messages"},
		"unread":      {func(q *queue) { q.pending, q.ageErr = 1, assert.AnError }, nil, "queues.unread", Unknown, "for how long"},
	} {
		q := base
		c.change(&q)
		found := judgeQueue(&q, c.served, 30*time.Second)
		if c.id == "" {
			assert.Empty(t, found, name)
			continue
		}
		require.Len(t, found, 1, name)
		assert.Equal(t, c.id, found[0].ID, name)
		assert.Equal(t, c.severity, found[0].Severity, name)
		assert.Contains(t, found[0].Text, c.text, name)
		assert.NotEmpty(t, found[0].Remedy, name)
	}
}

func TestRolesOfConsumers(t *testing.T) {
	t.Parallel()
	subjects := wire.NewSubjects("aegis")
	events, commands := &stream{kind: kindEvents, service: "a.v1.S"}, &stream{kind: kindCommands, service: "a.v1.S"}
	for name, filter := range map[string]string{
		"g-mail-Placed": "aegis.log.a.v1.S.Placed.*", "g-mail-x-Placed-3": "aegis.log.a.v1.S.Placed.3", "i-host-1-Placed": "aegis.log.a.v1.S.Placed.*",
		"g-Placed": "", "mail": "", "x-mail-Placed": "",
	} {
		role, known := roleOf(subjects, &consumer{ConsumerInfo: jetstream.ConsumerInfo{Name: name}, of: events})
		assert.Equal(t, filter != "", known, name)
		assert.Equal(t, filter, role.filter, name)
	}
	role, known := roleOf(subjects, &consumer{ConsumerInfo: jetstream.ConsumerInfo{Name: "w-Run-h"}, of: commands})
	assert.True(t, known)
	assert.Equal(t, "aegis.cmd.a.v1.S.Run.h.*.*", role.filter)
	for _, name := range []string{"w-Run-x", "w-Run", "g-mail-Run", "audit"} {
		_, known := roleOf(subjects, &consumer{ConsumerInfo: jetstream.ConsumerInfo{Name: name}, of: commands})
		assert.False(t, known, name)
	}
}
