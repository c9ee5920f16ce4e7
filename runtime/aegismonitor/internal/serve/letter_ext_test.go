package serve_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/serve"
)

const (
	lettersPath = "/api/v1/deadletters/" + jobs
	putBackPath = lettersPath + "/putback"
	deletePath  = lettersPath + "/delete"
	limits      = "UNAVAILABLE: no limits for order #"
)

func always(string) bool { return true }

// Dead letters come a page at a time, decoded.
func TestLettersComeInPages(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	require.Empty(t, get[monitorapi.Letters](t, m, lettersPath).Letters, "no letters, no error")
	m.serveJobs(t, always)
	ids := m.sendJobs(t, "a", "bb", "ccc", "dddd", "eeeee")
	m.awaitLetters(t, 5)
	var texts []string
	path := lettersPath + "?method=Work&reason=UNAVAILABLE%3A+no+limits+for+order+%23&limit=2"
	pages := 0
	for next := path; next != ""; pages++ {
		page := get[monitorapi.Letters](t, m, next)
		for _, l := range page.Letters {
			require.Equal(t, "UNAVAILABLE", l.Code)
			require.Contains(t, ids, l.ID)
			require.WithinDuration(t, time.Now(), l.Sent, time.Minute)
			require.False(t, l.Time.Before(l.Sent))
			require.True(t, l.Returnable)
			require.False(t, l.Hidden)
			texts = append(texts, string(l.JSON))
		}
		next = ""
		if page.Next != nil {
			next = fmt.Sprintf("%s&after=%d", path, *page.Next)
		}
	}
	require.Equal(t, 3, pages)
	require.Len(t, texts, 5)
	require.Contains(t, texts, `{"text":"bb"}`)
	require.Empty(t, get[monitorapi.Letters](t, m, lettersPath+"?reason=another").Letters)
	require.Empty(t, get[monitorapi.Letters](t, m, lettersPath+"?method=Once").Letters)
	for _, bad := range []string{"?limit=0", "?limit=201", "?limit=x", "?after=-1", "?method=a.b", "?method=*", "?methd=Work", "?limit=1&limit=2", "?%zz"} {
		a := m.ask(t, http.MethodGet, lettersPath+bad, "")
		require.Equal(t, http.StatusBadRequest, a.status, bad)
		a.problem(t)
	}
}

// A command is shown with its request, why it failed, and its dead letters.
func TestCommandOfADeadLetter(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	m.serveJobs(t, func(text string) bool { return text != "fine" })
	ids := m.sendJobs(t, "fails", "fine")
	m.awaitLetters(t, 1)
	c := get[monitorapi.CommandDetail](t, m, "/api/v1/commands/"+jobs+"/"+ids[0])
	require.Equal(t, "FAILED", c.State)
	require.Equal(t, "UNAVAILABLE", c.Code)
	require.Len(t, c.Letters, 1)
	require.Equal(t, ids[0], c.Letters[0].ID)
	require.JSONEq(t, `{"text":"fails"}`, string(c.Letters[0].JSON))
	require.Eventually(t, func() bool {
		return get[monitorapi.CommandDetail](t, m, "/api/v1/commands/"+jobs+"/"+ids[1]).State == "SUCCEEDED"
	}, patience, 20*time.Millisecond)
	c = get[monitorapi.CommandDetail](t, m, "/api/v1/commands/"+jobs+"/"+ids[1])
	require.Contains(t, c.Undecoded, "several commands", "it is not guessed which of them it is")
	for _, id := range []string{"nonsense", "a.b"} {
		a := m.ask(t, http.MethodGet, "/api/v1/commands/"+jobs+"/"+id, "")
		require.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound}, a.status)
		require.NotEmpty(t, a.problem(t).Code)
	}
}

// Without the option nobody sees a payload, wherever it is.
func TestPayloadsAreHidden(t *testing.T) {
	t.Parallel()
	m := start(t, func(c *serve.Config) { c.May = monitorapi.May{Act: true, Call: true} })
	m.serveJobs(t, always)
	ids := m.sendJobs(t, secretText)
	m.awaitLetters(t, 1)
	for _, path := range []string{lettersPath, "/api/v1/commands/" + jobs + "/" + ids[0]} {
		a := m.ask(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, a.status)
		require.NotContains(t, string(a.body), secretText)
		require.Contains(t, string(a.body), `"hidden":true`)
	}
}

// Letters are put back and deleted one by one; those that stay are said with the reason.
func TestSingleLetters(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	m.serveJobs(t, always)
	m.sendJobs(t, "a", "bb")
	dead := m.awaitLetters(t, 2)
	body := fmt.Sprintf(`{"sequences": [%d, 999999]}`, dead[0].Sequence)
	o := post[monitorapi.LetterOutcome](t, m, deletePath, body)
	require.Equal(t, 1, o.Done)
	require.Equal(t, 1, o.Failed)
	require.Len(t, o.Left, 1)
	require.Equal(t, uint64(999999), o.Left[0].Sequence)
	require.Equal(t, "NOT_FOUND", o.Left[0].Code)
	m.awaitLetters(t, 1)
	o = post[monitorapi.LetterOutcome](t, m, putBackPath, fmt.Sprintf(`{"sequences": [%d]}`, dead[1].Sequence))
	require.Equal(t, 1, o.Done)
	require.Eventually(t, func() bool { // it has died again
		page := get[monitorapi.Letters](t, m, lettersPath)
		return len(page.Letters) == 1 && page.Letters[0].Sequence > dead[1].Sequence
	}, patience, 20*time.Millisecond)
	require.Contains(t, m.log.text(), `action="put back" user=somebody`)
	require.Contains(t, m.log.text(), "done=1 failed=1")
}

// A group is treated if it has not more letters than the user was told of, and no letter
// beyond the last of them.
func TestGroupOfLetters(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	m.serveJobs(t, always)
	m.sendJobs(t, "a", "bb", "ccc")
	dead := m.awaitLetters(t, 3)
	group := func(upTo uint64, count int) string {
		return fmt.Sprintf(`{"method": "Work", "consumer": "", "reason": %q, "upTo": %d, "count": %d}`, limits, upTo, count)
	}
	a := m.ask(t, http.MethodPost, deletePath, group(dead[2].Sequence, 2))
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.problem(t).Detail, "3 dead letters and not 2")
	m.awaitLetters(t, 3)
	o := post[monitorapi.LetterOutcome](t, m, deletePath, group(dead[1].Sequence, 2))
	require.Equal(t, monitorapi.LetterOutcome{Done: 2, Left: []monitorapi.LetterProblem{}}, *o)
	left := m.awaitLetters(t, 1)
	require.Equal(t, dead[2].Sequence, left[0].Sequence)
	o = post[monitorapi.LetterOutcome](t, m, deletePath, group(dead[1].Sequence, 2))
	require.Zero(t, o.Done, "they are gone already")
	o = post[monitorapi.LetterOutcome](t, m, putBackPath, group(dead[2].Sequence, 1))
	require.Equal(t, 1, o.Done)
}

// What does not say exactly what it is about does nothing.
func TestUnclearActions(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	m.serveJobs(t, always)
	m.sendJobs(t, "a")
	m.awaitLetters(t, 1)
	for body, status := range map[string]int{
		`{}`:                                     http.StatusBadRequest,
		`null`:                                   http.StatusBadRequest,
		`[]`:                                     http.StatusBadRequest,
		`{"sequences": []}`:                      http.StatusBadRequest,
		`{"sequences": [-1]}`:                    http.StatusBadRequest,
		`{"sequences": [1], "method": "Work"}`:   http.StatusBadRequest,
		`{"method": "Work"}`:                     http.StatusBadRequest,
		`{"method": "Work", "upTo": 9}`:          http.StatusBadRequest,
		`{"method": "*", "upTo": 9, "count": 9}`: http.StatusBadRequest,
		`{"upTo": 9, "count": 9}`:                http.StatusBadRequest,
		`{"method": "Work", "upTo": 9, "count": -1}`:               http.StatusBadRequest,
		`{"method": "Work", "upTo": 9, "count": 9, "every": true}`: http.StatusBadRequest,
		`{"sequences": [1]} {"sequences": [1]}`:                    http.StatusBadRequest,
		`{"sequences": [` + strings.Repeat("1,", 1000) + `1]}`:     http.StatusBadRequest,
		`{"reason": "` + strings.Repeat("x", 3<<20) + `"}`:         http.StatusRequestEntityTooLarge,
	} {
		a := m.ask(t, http.MethodPost, deletePath, body)
		require.Equal(t, status, a.status, "%.100s", body)
		a.problem(t)
	}
	a := m.ask(t, http.MethodPost, deletePath, `{"sequences": [1]}`, with("Content-Type", "text/plain"))
	require.Equal(t, http.StatusUnsupportedMediaType, a.status)
	a = m.ask(t, http.MethodPost, deletePath, `{"sequences": [1]}`, with("Content-Encoding", "gzip"))
	require.Equal(t, http.StatusUnsupportedMediaType, a.status)
	a = m.ask(t, http.MethodPost, deletePath, `{"sequences": [1]}`, with("Sec-Fetch-Site", "cross-site"))
	require.Equal(t, http.StatusForbidden, a.status)
	a = m.ask(t, http.MethodPost, deletePath, `{"sequences": [1]}`, with("Origin", "https://evil.example"))
	require.Equal(t, http.StatusForbidden, a.status)
	a = m.ask(t, http.MethodPost, deletePath+"?all=true", `{"sequences": [1]}`)
	require.Equal(t, http.StatusBadRequest, a.status)
	m.awaitLetters(t, 1)
}

// Without the options nothing can be done, and the refusal says which of them allow it.
func TestActionsAreOffByDefault(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.serveProbes(t)
	for path, option := range map[string][2]string{
		putBackPath:  {"WithChanges", "--allow-changes"},
		deletePath:   {"WithChanges", "--allow-changes"},
		callOfProbes: {"WithCalls", "--allow-calls"},
	} {
		a := m.ask(t, http.MethodPost, path, `{}`)
		require.Equal(t, http.StatusForbidden, a.status)
		require.Contains(t, a.problem(t).Detail, option[0])
		require.Contains(t, a.problem(t).Detail, option[1])
	}
	a := m.ask(t, http.MethodGet, strings.TrimSuffix(callOfProbes, "/call"), "")
	require.Equal(t, http.StatusForbidden, a.status)
	require.Contains(t, m.log.text(), "an action is not allowed")
}
