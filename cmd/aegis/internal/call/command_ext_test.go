package call_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const work = "aegistest.v1.JobService/Work"

func TestSendAwaitsTheResult(t *testing.T) {
	t.Parallel()
	env := world(t)
	r := clitest.Run(t, env, "send", work, `{"text": "it"}`, "--await")
	require.Equal(t, 0, r.Code, r.Err)
	assert.JSONEq(t, `{"text": "done: it"}`, r.Out)
	assert.Contains(t, r.Err, "is stored")

	r = clitest.Run(t, env, "send", work, `{"text": "fail"}`, "--await")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "no such work")
	assert.Empty(t, r.Out)
}

func TestACommandIsFoundByItsID(t *testing.T) {
	t.Parallel()
	env := world(t)
	r := clitest.Run(t, env, "send", work, `{"text": "it"}`, "--key", "invoice-7")
	require.Equal(t, 0, r.Code, r.Err)
	id := strings.TrimSpace(r.Out)
	again := clitest.Run(t, env, "send", work, `{"text": "it"}`, "--key", "invoice-7")
	assert.Equal(t, r.Out, again.Out, again.Err)

	r = clitest.Run(t, env, "result", work, id, "--await")
	require.Equal(t, 0, r.Code, r.Err)
	assert.JSONEq(t, `{"text": "done: it"}`, r.Out)
	r = clitest.Run(t, env, "progress", work, id)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "50 %  half of it")
	assert.Contains(t, r.Err, "SUCCEEDED")
	r = clitest.Run(t, env, "cancel", work, id)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "has ended before")
	r = clitest.Run(t, env, "result", work, "nobody-knows-it")
	assert.Equal(t, 1, r.Code)
}

func TestACommandThatWaitsCanBeCanceled(t *testing.T) {
	t.Parallel()
	env := world(t)
	r := clitest.Run(t, env, "send", work, `{"text": "later"}`, "--not-before", "1h")
	require.Equal(t, 0, r.Code, r.Err)
	id := strings.TrimSpace(r.Out)
	r = clitest.Run(t, env, "result", work, id)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "has not ended")
	r = clitest.Run(t, env, "cancel", work, id)
	require.Equal(t, 0, r.Code, r.Err)
	r = clitest.Run(t, env, "result", work, id, "--await")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "CANCELLED")
	for _, args := range [][]string{{"--not-before", "soon"}, {"--priority", "top"}} {
		r = clitest.Run(t, env, append([]string{"send", work}, args...)...)
		assert.Equal(t, 2, r.Code, args)
	}
}

const storedEvent = "aegistest.v1.EventService/Stored"

// subscribed is a NATS server with a subscriber to the events, so that their service is known.
func subscribed(t *testing.T) []string {
	t.Helper()
	nats := aegistest.StartNATS(t)
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Stored: handle, Core: handleCore,
		}, aegis.Compete("watchers"))
	})
	return []string{"NATS_URL=" + nats.URL()}
}

func TestPublishedEventsAreSeenBySubscribe(t *testing.T) {
	t.Parallel()
	env := subscribed(t)
	r := clitest.RunInput(t, env, `{"text": "a"} {"text": "b"}`, "publish", storedEvent)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Equal(t, "aegis-events-aegistest-v1-EventService  1\naegis-events-aegistest-v1-EventService  2\n", r.Out)
	r = clitest.Run(t, env, "publish", storedEvent, `{"text": "c"}`, "--id", "7", "-H", "tenant: acme")
	require.Equal(t, 0, r.Code, r.Err)
	r = clitest.Run(t, env, "publish", storedEvent, `{"text": "c"}`, "--id", "7")
	assert.Contains(t, r.Out, "stored before")

	r = clitest.Run(t, env, "subscribe", storedEvent, "--from", "all", "--count", "3")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Equal(t, 3, strings.Count(r.Out, "\n"))
	assert.Contains(t, r.Out, `"event":{"text":"a"}`)
	assert.Contains(t, r.Out, `"tenant":["acme"]`)
	for _, from := range []string{"2", "1h"} {
		r = clitest.Run(t, env, "subscribe", storedEvent, "--from", from, "--count", "1")
		require.Equal(t, 0, r.Code, r.Err)
	}
	r = clitest.Run(t, env, "subscribe", storedEvent, "--from", "yesterday")
	assert.Equal(t, 2, r.Code)
	r = clitest.Run(t, env, "subscribe", "aegistest.v1.EventService/Core", "--from", "all")
	assert.Equal(t, 1, r.Code, "core events are not stored")
}

func TestSubscribeFollowsCoreEvents(t *testing.T) {
	t.Parallel()
	env := subscribed(t)
	p := clitest.Start(t, env, "subscribe", "aegistest.v1.EventService/Core", "--count", "1", "-v")
	p.Err().Await(t, "following") // only then nothing is missed
	r := clitest.Run(t, env, "publish", "aegistest.v1.EventService/Core", `{"text": "now"}`)
	require.Equal(t, 0, r.Code, r.Err)
	end := p.Wait(t)
	assert.Equal(t, 0, end.Code, end.Err)
	assert.Contains(t, end.Out, `"event":{"text":"now"}`)
}
