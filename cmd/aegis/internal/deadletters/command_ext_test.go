package deadletters_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const subcommand testservice.Subcommand = "deadletters"

// letters waits until there are so many dead letters, and returns them.
func letters(t *testing.T, n *aegistest.NATS, want int) []string {
	t.Helper()
	var lines []string
	require.Eventually(t, func() bool {
		lines = strings.Fields(strings.ReplaceAll(subcommand.Output(t, n, "list", testservice.Service, "-o", "json"), " ", "_"))
		return len(lines) == want
	}, testservice.Patience, 10*time.Millisecond, "%d letters", want)
	return lines
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	r := subcommand.Run(t, n)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "There are no dead letters.")
	assert.JSONEq(t, "[]", subcommand.Output(t, n, "-o", "json"))

	worker, client := testservice.Serve(t, n), testservice.Client(t, n)
	for i := range 3 {
		_, err := testservice.Send(t, client, fmt.Sprintf("dies of %d", i)).Result(t.Context())
		require.Error(t, err)
	}
	_, err := testservice.Send(t, client, "dies otherwise").Result(t.Context())
	require.Error(t, err)

	var groups []struct {
		Method, Reason string
		Count          int
	}
	require.NoError(t, json.Unmarshal([]byte(subcommand.Output(t, n, "-o", "json")), &groups))
	require.Len(t, groups, 2)
	assert.Equal(t, 3, groups[0].Count)
	assert.Equal(t, "Work", groups[0].Method)
	assert.Contains(t, groups[0].Reason, "dies of #")
	assert.Contains(t, subcommand.Output(t, n, testservice.Service), "dies of #")
	letters(t, n, 4)
	out := subcommand.Output(t, n, "show", testservice.Service, "1")
	assert.Contains(t, out, "dies of 0")
	assert.Contains(t, out, "Attempts")
	assert.Contains(t, out, `"text":`, "the message is decoded")

	r = subcommand.Run(t, n, "retry", testservice.Service, "1")
	assert.Equal(t, 2, r.Code, "nobody can be asked")
	assert.Contains(t, r.Err, "--yes")
	r = subcommand.Run(t, n, "retry", testservice.Service)
	assert.Equal(t, 2, r.Code)
	assert.Contains(t, r.Err, "which dead letters?")
	r = subcommand.Run(t, n, "retry", testservice.Service, "--reason", groups[0].Reason, "--dry-run")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "Would do: Put back 3 dead letters of "+testservice.Service)
	letters(t, n, 4)

	worker.Mend()
	assert.Contains(t, subcommand.Output(t, n, "retry", testservice.Service, "1", "--yes"), "1 dead letter put back.")
	letters(t, n, 3)
	var done struct{ Done, Failed int }
	require.NoError(t, json.Unmarshal([]byte(subcommand.Output(t, n, "retry", testservice.Service+"/Work", "--reason", groups[0].Reason, "--yes", "-o", "json")), &done))
	assert.Equal(t, 2, done.Done)
	assert.Zero(t, done.Failed)
	letters(t, n, 1)
	assert.Contains(t, subcommand.Output(t, n, "delete", testservice.Service, "--all", "--yes"), "1 dead letter deleted.")
	r = subcommand.Run(t, n, "delete", testservice.Service, "--all", "--yes")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "There are no such dead letters.")
}

func TestWrongNamesOfDeadLetters(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	testservice.Serve(t, n)
	for want, args := range map[string][]string{
		"did you mean " + testservice.Service + "?": {"list", "aegistest.v1.JobServce"},
		"has no dead letter 7":                      {"show", testservice.Service, "7"},
	} {
		r := subcommand.Run(t, n, args...)
		assert.Equal(t, 1, r.Code, args)
		assert.Empty(t, r.Out)
		assert.Contains(t, r.Err, want)
	}
	for _, args := range [][]string{{"show", testservice.Service, "x"}, {"retry", testservice.Service, "1", "--all", "--yes"}, {"list", testservice.Service, "--limit", "-1"}} {
		assert.Equal(t, 2, subcommand.Run(t, n, args...).Code, args)
	}
}
