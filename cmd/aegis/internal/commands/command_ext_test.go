package commands_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const subcommand testservice.Subcommand = "commands"

const work = testservice.Service + "/Work"

func TestCommandsAreCountedListedAndShown(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	r := subcommand.Run(t, n)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "There are no commands.")
	assert.JSONEq(t, "[]", subcommand.Output(t, n, "-o", "json"))

	client := testservice.Client(t, n)
	urgent := testservice.Send(t, client, "urgent", aegis.Priority(aegis.PriorityHigh))
	testservice.Send(t, client, "normal")
	later := testservice.Send(t, client, "later", aegis.NotBefore(time.Now().Add(time.Hour)))

	out := subcommand.Output(t, n)
	assert.Contains(t, out, testservice.Service)
	assert.Contains(t, out, "no worker yet")
	var methods []struct {
		Method             string
		Waiting, Scheduled int
	}
	require.NoError(t, json.Unmarshal([]byte(subcommand.Output(t, n, testservice.Service, "-o", "json")), &methods))
	require.Len(t, methods, 1)
	assert.Equal(t, 2, methods[0].Waiting)
	assert.Equal(t, 1, methods[0].Scheduled)

	out = subcommand.Output(t, n, "list", work)
	assert.Less(t, strings.Index(out, urgent.ID()), strings.Index(out, later.ID()), "the oldest first")
	assert.Contains(t, out, "SCHEDULED")
	assert.Contains(t, out, "59m")
	lines := strings.Split(strings.TrimSpace(subcommand.Output(t, n, "list", work, "-o", "json", "--priority", "high")), "\n")
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], urgent.ID())
	r = subcommand.Run(t, n, "list", work, "--limit", "1")
	assert.Contains(t, r.Err, "There are more than 1")

	out = subcommand.Output(t, n, "show", work, later.ID())
	assert.Contains(t, out, "SCHEDULED")
	assert.Contains(t, out, "in 59m")
}

func TestCommandThatRunsIsShownAndCanceled(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	testservice.Serve(t, n)
	client := testservice.Client(t, n)
	cmd := testservice.Send(t, client, "waits")
	var shown struct {
		State, Method string
		Progress      struct{ Percent float64 }
	}
	require.Eventually(t, func() bool {
		require.NoError(t, json.Unmarshal([]byte(subcommand.Output(t, n, "show", testservice.Service, cmd.ID(), "-o", "json")), &shown))
		return shown.State == "RUNNING" && shown.Progress.Percent == 25
	}, testservice.Patience, 10*time.Millisecond)
	assert.Equal(t, "Work", shown.Method)
	assert.Contains(t, subcommand.Output(t, n, "show", testservice.Service, cmd.ID()), `"text":`, "the request is decoded")
	done := testservice.Send(t, client, "x")
	_, err := done.Result(t.Context())
	require.NoError(t, err)
	assert.Contains(t, subcommand.Output(t, n, "show", work, done.ID()), `done: x`, "the result is decoded")

	r := subcommand.Run(t, n, "cancel", testservice.Service, cmd.ID())
	assert.Equal(t, 2, r.Code, "nobody can be asked")
	assert.Contains(t, r.Err, "--yes")
	r = subcommand.Run(t, n, "cancel", testservice.Service, cmd.ID(), "--dry-run")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "Would do: Cancel the command "+cmd.ID())
	r = subcommand.Run(t, n, "delete", testservice.Service, cmd.ID(), "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "cancel it instead")

	assert.Contains(t, subcommand.Output(t, n, "cancel", testservice.Service, cmd.ID(), "--yes"), "1 command canceled.")
	_, err = cmd.Result(t.Context())
	assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	out := subcommand.Output(t, n, "show", testservice.Service, cmd.ID())
	assert.Contains(t, out, "CANCELED")
	r = subcommand.Run(t, n, "cancel", testservice.Service, cmd.ID(), "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "has ended already, as CANCELED")
}

func TestCommandsAreDeletedByAFilter(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	client := testservice.Client(t, n)
	for range 3 {
		testservice.Send(t, client, "x")
	}
	testservice.Send(t, client, "y", aegis.Priority(aegis.PriorityLow))
	r := subcommand.Run(t, n, "delete", work, "--yes")
	assert.Equal(t, 2, r.Code)
	assert.Contains(t, r.Err, "which commands?")
	r = subcommand.Run(t, n, "delete", work, "--priority", "normal", "--dry-run")
	assert.Contains(t, r.Err, "Delete 3 commands of "+work+" (3 WAITING).")
	var done struct{ Done, Failed int }
	require.NoError(t, json.Unmarshal([]byte(subcommand.Output(t, n, "delete", work, "--priority", "normal", "--yes", "-o", "json")), &done))
	assert.Equal(t, 3, done.Done)
	assert.Len(t, strings.Split(strings.TrimSpace(subcommand.Output(t, n, "list", work, "-o", "json")), "\n"), 1)
}

func TestCommandsArePausedAndResumed(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	client := testservice.Client(t, n)
	r := subcommand.Run(t, n, "pause", work, "--for", "1h", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "nothing is stored of")
	testservice.Serve(t, n)
	r = subcommand.Run(t, n, "pause", testservice.Service+"/Worq", "--for", "1h", "--yes")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "did you mean Work?")
	for _, wrong := range [][]string{{}, {"--for", "-1s"}, {"--until", "tomorrow"}, {"--until", "2020-01-01T00:00:00Z"}} {
		r = subcommand.Run(t, n, append([]string{"pause", work, "--yes"}, wrong...)...)
		assert.Equal(t, 2, r.Code, wrong)
	}
	assert.Contains(t, subcommand.Output(t, n, "pause", work, "--for", "1h", "--yes"), "is paused until")
	cmd := testservice.Send(t, client, "x")
	assert.Contains(t, subcommand.Output(t, n, testservice.Service), "paused for 59m")
	r = subcommand.Run(t, n, "resume", work, "--dry-run")
	assert.Contains(t, r.Err, "Resume the commands of "+work+": 1 wait.")
	assert.Contains(t, subcommand.Output(t, n, "resume", work, "--yes"), "goes on")
	_, err := cmd.Result(t.Context())
	require.NoError(t, err)
	r = subcommand.Run(t, n, "resume", work, "--yes")
	assert.Contains(t, r.Err, "is not paused")
}

func TestWrongNamesOfCommands(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	testservice.Send(t, testservice.Client(t, n), "x")
	for want, args := range map[string][]string{
		"did you mean " + testservice.Service + "?": {"list", "aegistest.v1.JobServce"},
		"did you mean Work?":                        {"list", testservice.Service + "/Worq"},
		"there is no command AAA.1 of":              {"show", testservice.Service, "AAA.1"},
		"is no id of a command":                     {"show", testservice.Service, "AAA"},
		"is no full name of a service":              {"list", "no service"},
	} {
		r := subcommand.Run(t, n, args...)
		assert.Equal(t, 1, r.Code, args)
		assert.Empty(t, r.Out)
		assert.Contains(t, r.Err, want)
	}
	for _, args := range [][]string{{"list"}, {"list", work, "--state", "dead"}, {"list", work, "--limit", "-1"}, {"list", "/"}, {"lits", work}} {
		assert.Equal(t, 2, subcommand.Run(t, n, args...).Code, args)
	}
}
