package doctor

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// A look over many services takes a bounded time: their number is that of
// DOCTOR_SERVICES, of which all have a record, a queue and a consumer.
func TestALookOverManyServices(t *testing.T) {
	t.Parallel()
	services := 150
	if n, err := strconv.Atoi(os.Getenv("DOCTOR_SERVICES")); err == nil {
		services = n
	}
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	serveLeaders(t, conn) // makes the buckets
	js := jetStream(t, n.URL())
	subjects := wire.NewSubjects("aegis")
	for i := range services {
		name := fmt.Sprintf("many.v1.S%d", i)
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: wire.CommandStream("aegis", name), Subjects: subjects.Commands(name), Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowRollup: true,
		})
		require.NoError(t, err)
		_, err = js.CreateConsumer(t.Context(), wire.CommandStream("aegis", name), jetstream.ConsumerConfig{
			Durable: wire.WorkerConsumer("Work", "n"), AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1, MaxAckPending: 10_000,
			FilterSubject: subjects.CommandsOf(name, "Work", "n"),
		})
		require.NoError(t, err)
		_, err = js.Publish(t.Context(), subjects.Command(name, "Work", "n", "a.1"), []byte("x"))
		require.NoError(t, err)
		_, err = js.Publish(t.Context(), "$KV.aegis-registry."+name+".one", record(t, name, "one", func(*wire.Instance) {}))
		require.NoError(t, err)
	}
	s := session(t, n.URL())
	from := time.Now()
	found := examine(t, s, Scope{StuckAfter: time.Hour})
	took := time.Since(from)
	t.Logf("%d services: %v", services, took)
	assert.Contains(t, find(t, found, "registry.ready", "").Text, strconv.Itoa(services+1)+" services")
	find(t, found, "queues.empty", "")
	assert.Less(t, took, 20*time.Second)
}
