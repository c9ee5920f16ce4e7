package deadletters_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/careservice"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// run runs aegis deadletters against a NATS server.
func run(t *testing.T, n *aegistest.NATS, args ...string) clitest.Result {
	t.Helper()
	return clitest.Run(t, nil, append(append([]string{"deadletters"}, args...), "--server", n.URL())...)
}

// ran is run for a command that has to succeed.
func ran(t *testing.T, n *aegistest.NATS, args ...string) string {
	t.Helper()
	r := run(t, n, args...)
	require.Equal(t, 0, r.Code, "%v: %s", args, r.Err)
	return r.Out
}

// letters waits until there are so many dead letters, and returns them.
func letters(t *testing.T, n *aegistest.NATS, want int) []string {
	t.Helper()
	var lines []string
	require.Eventually(t, func() bool {
		lines = strings.Fields(strings.ReplaceAll(ran(t, n, "list", careservice.Service, "-o", "json"), " ", "_"))
		return len(lines) == want
	}, careservice.Patience, 10*time.Millisecond, "%d letters", want)
	return lines
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	r := run(t, n)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "There are no dead letters.")
	assert.JSONEq(t, "[]", ran(t, n, "-o", "json"))

	worker, client := careservice.Serve(t, n), careservice.Client(t, n)
	for i := range 3 {
		_, err := careservice.Send(t, client, fmt.Sprintf("dies of %d", i)).Result(t.Context())
		require.Error(t, err)
	}
	_, err := careservice.Send(t, client, "dies otherwise").Result(t.Context())
	require.Error(t, err)

	var groups []struct {
		Method, Reason string
		Count          int
	}
	require.NoError(t, json.Unmarshal([]byte(ran(t, n, "-o", "json")), &groups))
	require.Len(t, groups, 2)
	assert.Equal(t, 3, groups[0].Count)
	assert.Equal(t, "Work", groups[0].Method)
	assert.Contains(t, groups[0].Reason, "dies of #")
	assert.Contains(t, ran(t, n, careservice.Service), "dies of #")
	letters(t, n, 4)
	out := ran(t, n, "show", careservice.Service, "1")
	assert.Contains(t, out, "dies of 0")
	assert.Contains(t, out, "Attempts")
	assert.Contains(t, out, `"text":`, "the message is decoded")

	r = run(t, n, "retry", careservice.Service, "1")
	assert.Equal(t, 2, r.Code, "nobody can be asked")
	assert.Contains(t, r.Err, "--yes")
	r = run(t, n, "retry", careservice.Service)
	assert.Equal(t, 2, r.Code)
	assert.Contains(t, r.Err, "which dead letters?")
	r = run(t, n, "retry", careservice.Service, "--reason", groups[0].Reason, "--dry-run")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "Would do: Put back 3 dead letters of "+careservice.Service)
	letters(t, n, 4)

	worker.Mend()
	assert.Contains(t, ran(t, n, "retry", careservice.Service, "1", "--yes"), "1 dead letter put back.")
	letters(t, n, 3)
	var done struct{ Done, Failed int }
	require.NoError(t, json.Unmarshal([]byte(ran(t, n, "retry", careservice.Service+"/Work", "--reason", groups[0].Reason, "--yes", "-o", "json")), &done))
	assert.Equal(t, 2, done.Done)
	assert.Zero(t, done.Failed)
	letters(t, n, 1)
	assert.Contains(t, ran(t, n, "delete", careservice.Service, "--all", "--yes"), "1 dead letter deleted.")
	r = run(t, n, "delete", careservice.Service, "--all", "--yes")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "There are no such dead letters.")
}

func TestWrongNamesOfDeadLetters(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	careservice.Serve(t, n)
	for want, args := range map[string][]string{
		"did you mean " + careservice.Service + "?": {"list", "aegistest.v1.JobServce"},
		"has no dead letter 7":                      {"show", careservice.Service, "7"},
	} {
		r := run(t, n, args...)
		assert.Equal(t, 1, r.Code, args)
		assert.Empty(t, r.Out)
		assert.Contains(t, r.Err, want)
	}
	for _, args := range [][]string{{"show", careservice.Service, "x"}, {"retry", careservice.Service, "1", "--all", "--yes"}, {"list", careservice.Service, "--limit", "-1"}} {
		assert.Equal(t, 2, run(t, n, args...).Code, args)
	}
}
