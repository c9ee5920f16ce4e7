package doctor

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// made starts a NATS server where services have made their streams and buckets, and ends
// the services.
func made(t *testing.T) (url string, js jetstream.JetStream) {
	t.Helper()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	stop := serveUntil(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work: done}),
			aegistestv1aegis.RegisterLeaderJobServiceServer(srv, leaders{arrange: func(context.Context) {}}),
			subscriptions(srv),
		)
	})
	send(t, conn, 1)
	publish(t, conn, 1)
	becomes(t, session(t, n.URL()), Scope{}, func(found []Finding) bool {
		return has(found, "leaders.ready", OK) && has(found, "consumers.ready", OK)
	}, "leaders", "consumers")
	drained(t, jetStream(t, n.URL()), jobQueue, "w-Work-n")
	stop()
	return n.URL(), jetStream(t, n.URL())
}

func TestStreamsThatDiffer(t *testing.T) {
	t.Parallel()
	url, js := made(t)
	s := session(t, url)
	for _, c := range []struct {
		stream   string
		edit     func(*jetstream.StreamConfig)
		id       string
		severity Severity
		text     string
	}{
		{jobQueue, func(c *jetstream.StreamConfig) { c.MaxAge, c.Duplicates = time.Hour, time.Second }, "streams.unusable", Failure, "drops commands"},
		{jobQueue, func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, "streams.unusable", Failure, "drops commands"},
		{jobQueue, func(c *jetstream.StreamConfig) { c.MaxAge, c.MaxMsgs, c.MaxBytes = 0, -1, 1<<20 }, "streams.unusable", Failure, "drops commands"},
		{eventQueue, func(c *jetstream.StreamConfig) {
			c.Subjects = []string{"aegis.log.aegistest.v1.EventService.Stored.*"}
		}, "streams.unusable", Failure, "does not take"},
		{eventQueue, func(c *jetstream.StreamConfig) {
			c.Subjects, c.Discard = []string{"aegis.log.aegistest.v1.EventService.>"}, jetstream.DiscardOld
		}, "streams.differs", Warning, "drops its oldest messages"},
		{eventQueue, func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardNew, 1000 }, "streams.differs", Warning, "1000 messages at most"},
		{"aegis-results-aegistest-v1-JobService", func(c *jetstream.StreamConfig) { c.AllowDirect = false }, "streams.lacks", Failure, "allow_direct"},
		{"aegis-results-aegistest-v1-JobService", func(c *jetstream.StreamConfig) {
			c.AllowDirect, c.MaxMsgsPerSubject = true, 5
		}, "streams.differs", Warning, "5 messages"},
		{"aegis-dead-aegistest-v1-JobService", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, "streams.differs", Warning, "should keep all"},
	} {
		change(t, js, c.stream, c.edit)
		found := examine(t, s, Scope{}, "streams")
		i := -1
		for j, f := range found {
			if f.ID == c.id && strings.HasPrefix(f.Subject, c.stream) {
				i = j
			}
		}
		require.GreaterOrEqual(t, i, 0, "%s of %s in:\n%s", c.id, c.stream, texts(found))
		assert.Equal(t, c.severity, found[i].Severity)
		assert.Contains(t, found[i].Text, c.text)
		assert.Contains(t, found[i].Remedy, c.stream)
	}
}

func TestStreamsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	js := jetStream(t, n.URL())
	for name, cfg := range map[string]jetstream.StreamConfig{
		"storage is Memory":   {Name: wire.EventStream("aegis", "a.v1.A"), Subjects: []string{"aegis.log.a.v1.A.>"}, Storage: jetstream.MemoryStorage},
		"retention is Limits": {Name: wire.CommandStream("aegis", "a.v1.B"), Subjects: []string{"aegis.cmd.a.v1.B.>", "aegis.cmdat.a.v1.B.>"}},
		"it is sealed":        {Name: wire.EventStream("aegis", "a.v1.C"), Subjects: []string{"aegis.log.a.v1.C.>"}},
	} {
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err, name)
	}
	change(t, js, wire.EventStream("aegis", "a.v1.C"), func(c *jetstream.StreamConfig) { c.Sealed = true })
	old := jetstream.StreamConfig{
		Name: wire.CommandStream("aegis", "a.v1.D"), Subjects: []string{"aegis.cmd.a.v1.D.>", "aegis.cmdat.a.v1.D.>"}, Retention: jetstream.WorkQueuePolicy,
	}
	_, err := js.CreateStream(t.Context(), old)
	require.NoError(t, err)
	found := examine(t, session(t, n.URL()), Scope{}, "streams")
	for service, text := range map[string]string{"A": "storage is Memory", "B": "retention is Limits", "C": "sealed"} {
		kind := wire.EventStream
		if service == "B" {
			kind = wire.CommandStream
		}
		assert.Contains(t, find(t, found, "streams.unusable", kind("aegis", "a.v1."+service)).Text, text)
	}
	// A stream that an older server has made has no schedules.
	assert.Contains(t, find(t, found, "streams.lacks", wire.CommandStream("aegis", "a.v1.D")).Remedy, "--allow-schedules")
}

func TestConsumersThatDiffer(t *testing.T) {
	t.Parallel()
	url, js := made(t)
	s := session(t, url)
	edit := func(stream, name string, edit func(*jetstream.ConsumerConfig)) {
		c, err := js.Consumer(t.Context(), stream, name)
		require.NoError(t, err)
		cfg := c.CachedInfo().Config
		edit(&cfg)
		_, err = js.UpdateConsumer(t.Context(), stream, cfg)
		require.NoError(t, err)
	}
	edit(jobQueue, "w-Work-n", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 })
	edit(eventQueue, "g-mail-Keyed-0", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 7 })
	edit(eventQueue, "g-mail-Stored", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 7 })
	require.NoError(t, js.DeleteConsumer(t.Context(), eventQueue, "g-mail-Keyed-2"))
	_, err := js.CreateConsumer(t.Context(), eventQueue, jetstream.ConsumerConfig{Name: "audit", Durable: "audit"})
	require.NoError(t, err)
	_, err = js.CreateConsumer(t.Context(), eventQueue, jetstream.ConsumerConfig{
		Name: "g-odd-Stored", Durable: "g-odd-Stored", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1, MaxAckPending: 10_000,
		FilterSubject: "aegis.log.aegistest.v1.EventService.Stored.1",
	})
	require.NoError(t, err)

	found := examine(t, s, Scope{}, "consumers")
	assert.Contains(t, find(t, found, "consumers.unusable", jobQueue+" w-Work-n").Text, "max_deliver is 3")
	assert.Contains(t, find(t, found, "consumers.unusable", eventQueue+" g-mail-Keyed-0").Text, "lose their order")
	assert.Contains(t, find(t, found, "consumers.differs", eventQueue+" g-mail-Stored").Text, "7 messages under way")
	assert.Contains(t, find(t, found, "consumers.unusable", eventQueue+" g-odd-Stored").Text, "its filter is")
	assert.Equal(t, Info, find(t, found, "consumers.foreign", eventQueue+" audit").Severity)
	f := find(t, found, "consumers.partition", eventQueue+" g-mail-Keyed")
	assert.Contains(t, f.Text, "nobody takes the events of partition 2")
	assert.Equal(t, Failure, f.Severity)
}

func TestBucketsThatDiffer(t *testing.T) {
	t.Parallel()
	url, js := made(t)
	s := session(t, url)
	const leaders, registered = "KV_aegis-leaders", "KV_aegis-registry"
	change(t, js, leaders, func(c *jetstream.StreamConfig) {
		c.AllowDirect, c.MaxAge, c.MaxMsgsPerSubject, c.Discard, c.MaxMsgs = true, time.Hour, 3, jetstream.DiscardOld, 100
	})
	change(t, js, registered, func(c *jetstream.StreamConfig) { c.MaxAge, c.MaxMsgsPerSubject = time.Hour, 2 })
	found := examine(t, s, Scope{}, "buckets")
	var leaderTexts strings.Builder
	for _, f := range found {
		if f.ID == "buckets.unusable" {
			assert.Equal(t, leaders, f.Subject)
			assert.Equal(t, Failure, f.Severity)
			leaderTexts.WriteString(f.Text + f.Remedy)
		}
	}
	for _, text := range []string{"direct get is on", "--no-allow-direct", "by age", "--max-age=0", "by number or size", "--discard=new"} {
		assert.Contains(t, leaderTexts.String(), text)
	}
	assert.Contains(t, find(t, found, "buckets.differs", registered).Text, "1h0m0s and not for 5m0s")
	assert.Contains(t, find(t, found, "buckets.differs", leaders+" history").Text, "3 values")

	require.NoError(t, js.DeleteStream(t.Context(), registered))
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: registered, Subjects: []string{"$KV.other.>"}, MaxMsgsPerSubject: 1, MaxAge: registryAge})
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), leaders))
	found = examine(t, s, Scope{}, "buckets")
	assert.Contains(t, find(t, found, "buckets.unusable", registered).Text, "[$KV.other.>]")
	assert.Equal(t, Info, find(t, found, "buckets.missing", "aegis-leaders").Severity)
}

func TestFullStreamsAndBuckets(t *testing.T) {
	t.Parallel()
	url, js := made(t)
	big := make([]byte, 900)
	change(t, js, eventQueue, func(c *jetstream.StreamConfig) { c.MaxBytes = 4096 })
	for range 100 {
		if _, err := js.Publish(t.Context(), "aegis.log.aegistest.v1.EventService.Stored.0", big); err != nil {
			break
		}
	}
	change(t, js, "KV_aegis-leaders", func(c *jetstream.StreamConfig) { c.MaxBytes = 4096 })
	for i := range 100 {
		if _, err := js.Publish(t.Context(), "$KV.aegis-leaders.x"+strconv.Itoa(i), make([]byte, 200)); err != nil {
			break
		}
	}
	s := session(t, url)
	assert.Equal(t, Warning, find(t, examine(t, s, Scope{}, "streams"), "streams.full", eventQueue).Severity)
	assert.Equal(t, Warning, find(t, examine(t, s, Scope{}, "buckets"), "buckets.full", "KV_aegis-leaders").Severity)
}
