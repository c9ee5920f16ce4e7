package commands_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/careservice"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// run runs aegis commands against a NATS server.
func run(t *testing.T, n *aegistest.NATS, args ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t, nil, append(append([]string{"commands"}, args...), "--server", n.URL())...)
}

// ran is run for a command that has to succeed.
func ran(t *testing.T, n *aegistest.NATS, args ...string) string {
	t.Helper()
	r := run(t, n, args...)
	require.Equal(t, 0, r.Code, "%v: %s", args, r.Err)
	return r.Out
}

const work = careservice.Service + "/Work"

func TestCommandsAreCountedListedAndShown(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	r := run(t, n)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "There are no commands.")
	assert.JSONEq(t, "[]", ran(t, n, "-o", "json"))

	client := careservice.Client(t, n)
	urgent := careservice.Send(t, client, "urgent", aegis.Priority(aegis.PriorityHigh))
	careservice.Send(t, client, "normal")
	later := careservice.Send(t, client, "later", aegis.NotBefore(time.Now().Add(time.Hour)))

	out := ran(t, n)
	assert.Contains(t, out, careservice.Service)
	assert.Contains(t, out, "no worker yet")
	var methods []struct {
		Method             string
		Waiting, Scheduled int
	}
	require.NoError(t, json.Unmarshal([]byte(ran(t, n, careservice.Service, "-o", "json")), &methods))
	require.Len(t, methods, 1)
	assert.Equal(t, 2, methods[0].Waiting)
	assert.Equal(t, 1, methods[0].Scheduled)

	out = ran(t, n, "list", work)
	assert.Less(t, strings.Index(out, urgent.ID()), strings.Index(out, later.ID()), "the oldest first")
	assert.Contains(t, out, "SCHEDULED")
	assert.Contains(t, out, "59m")
	lines := strings.Split(strings.TrimSpace(ran(t, n, "list", work, "-o", "json", "--priority", "high")), "\n")
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], urgent.ID())
	r = run(t, n, "list", work, "--limit", "1")
	assert.Contains(t, r.Err, "There are more than 1")

	out = ran(t, n, "show", work, later.ID())
	assert.Contains(t, out, "SCHEDULED")
	assert.Contains(t, out, "in 59m")
}

func TestCommandThatRunsIsShownAndCanceled(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	careservice.Serve(t, n)
	client := careservice.Client(t, n)
	cmd := careservice.Send(t, client, "waits")
	var shown struct {
		State, Method string
		Progress      struct{ Percent float64 }
	}
	require.Eventually(t, func() bool {
		require.NoError(t, json.Unmarshal([]byte(ran(t, n, "show", careservice.Service, cmd.ID(), "-o", "json")), &shown))
		return shown.State == "RUNNING" && shown.Progress.Percent == 25
	}, careservice.Patience, 10*time.Millisecond)
	assert.Equal(t, "Work", shown.Method)
	assert.Contains(t, ran(t, n, "show", careservice.Service, cmd.ID()), `"text":`, "the request is decoded")
	done := careservice.Send(t, client, "x")
	_, err := done.Result(t.Context())
	require.NoError(t, err)
	assert.Contains(t, ran(t, n, "show", work, done.ID()), `done: x`, "the result is decoded")

	r := run(t, n, "cancel", careservice.Service, cmd.ID())
	assert.Equal(t, 2, r.Code, "nobody can be asked")
	assert.Contains(t, r.Err, "--yes")
	r = run(t, n, "cancel", careservice.Service, cmd.ID(), "--dry-run")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "Would do: Cancel the command "+cmd.ID())
	r = run(t, n, "delete", careservice.Service, cmd.ID(), "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "cancel it instead")

	assert.Contains(t, ran(t, n, "cancel", careservice.Service, cmd.ID(), "--yes"), "1 command canceled.")
	_, err = cmd.Result(t.Context())
	assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	out := ran(t, n, "show", careservice.Service, cmd.ID())
	assert.Contains(t, out, "CANCELED")
	r = run(t, n, "cancel", careservice.Service, cmd.ID(), "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "has ended already, as CANCELED")
}

func TestCommandsAreDeletedByAFilter(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	client := careservice.Client(t, n)
	for range 3 {
		careservice.Send(t, client, "x")
	}
	careservice.Send(t, client, "y", aegis.Priority(aegis.PriorityLow))
	r := run(t, n, "delete", work, "--yes")
	assert.Equal(t, 2, r.Code)
	assert.Contains(t, r.Err, "which commands?")
	r = run(t, n, "delete", work, "--priority", "normal", "--dry-run")
	assert.Contains(t, r.Err, "Delete 3 commands of "+work+" (3 WAITING).")
	var done struct{ Done, Failed int }
	require.NoError(t, json.Unmarshal([]byte(ran(t, n, "delete", work, "--priority", "normal", "--yes", "-o", "json")), &done))
	assert.Equal(t, 3, done.Done)
	assert.Len(t, strings.Split(strings.TrimSpace(ran(t, n, "list", work, "-o", "json")), "\n"), 1)
}

func TestCommandsArePausedAndResumed(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	client := careservice.Client(t, n)
	r := run(t, n, "pause", work, "--for", "1h", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "nothing is stored of")
	careservice.Serve(t, n)
	r = run(t, n, "pause", careservice.Service+"/Worq", "--for", "1h", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "did you mean Work?")
	for _, wrong := range [][]string{{}, {"--for", "-1s"}, {"--until", "tomorrow"}, {"--until", "2020-01-01T00:00:00Z"}} {
		r = run(t, n, append([]string{"pause", work, "--yes"}, wrong...)...)
		assert.Equal(t, 2, r.Code, wrong)
	}
	assert.Contains(t, ran(t, n, "pause", work, "--for", "1h", "--yes"), "is paused until")
	cmd := careservice.Send(t, client, "x")
	assert.Contains(t, ran(t, n, careservice.Service), "paused for 59m")
	r = run(t, n, "resume", work, "--dry-run")
	assert.Contains(t, r.Err, "Resume the commands of "+work+": 1 wait.")
	assert.Contains(t, ran(t, n, "resume", work, "--yes"), "goes on")
	_, err := cmd.Result(t.Context())
	require.NoError(t, err)
	r = run(t, n, "resume", work, "--yes")
	assert.Contains(t, r.Err, "is not paused")
}

func TestWrongNamesOfCommands(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	careservice.Send(t, careservice.Client(t, n), "x")
	for want, args := range map[string][]string{
		"did you mean " + careservice.Service + "?": {"list", "aegistest.v1.JobServce"},
		"did you mean Work?":                        {"list", careservice.Service + "/Worq"},
		"there is no command AAA.1 of":              {"show", careservice.Service, "AAA.1"},
		"is no id of a command":                     {"show", careservice.Service, "AAA"},
		"is no full name of a service":              {"list", "no service"},
	} {
		r := run(t, n, args...)
		assert.Equal(t, 1, r.Code, args)
		assert.Empty(t, r.Out)
		assert.Contains(t, r.Err, want)
	}
	for _, args := range [][]string{{"list"}, {"list", work, "--state", "dead"}, {"list", work, "--limit", "-1"}, {"list", "/"}, {"lits", work}} {
		assert.Equal(t, 2, run(t, n, args...).Code, args)
	}
}
