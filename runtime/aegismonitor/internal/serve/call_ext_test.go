package serve_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

func methodPath(service, method string) string {
	return "/api/v1/services/" + service + "/methods/" + method
}

// A call is made with its metadata, and its errors are its outcome.
func TestCall(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	m.serveProbes(t)
	form := get[monitorapi.MethodForm](t, m, methodPath(probes, "Do"))
	require.Equal(t, "load balanced", form.Pattern)
	require.Equal(t, "aegistest.v1.DoRequest", form.Request)
	require.Contains(t, string(form.Example), `"text"`)
	require.False(t, form.Streams)

	o := post[monitorapi.CallOutcome](t, m, callOfProbes, `{"request": `+textRequest+`, "metadata": {"tenant": ["blue"]}}`)
	require.Equal(t, "OK", o.Code, o.Error)
	require.JSONEq(t, `{"text": "`+secretText+`blue"}`, string(o.Response))
	require.Positive(t, o.Ms)
	o = post[monitorapi.CallOutcome](t, m, callOfProbes, `{"request": null}`)
	require.Equal(t, "OK", o.Code, "no request is the empty one")
	o = post[monitorapi.CallOutcome](t, m, callOfProbes, fmt.Sprintf(`{"request": %s}`, form.Example))
	require.Equal(t, "OK", o.Code, "the example can be sent as it is")

	o = post[monitorapi.CallOutcome](t, m, methodPath(probes, "Get")+"/call", `{}`)
	require.Equal(t, "NOT_FOUND", o.Code)
	require.Contains(t, o.Error, "no such thing")
	require.Equal(t, "null", string(o.Response))
	require.True(t, o.MayHaveRun)
	o = post[monitorapi.CallOutcome](t, m, callOfProbes, `{"instance": "nobody"}`)
	require.Equal(t, "UNAVAILABLE", o.Code)
	require.False(t, o.MayHaveRun)
	o = post[monitorapi.CallOutcome](t, m, callOfProbes, `{"metadata": {"Nats-Evil": ["x"]}}`)
	require.Equal(t, "INVALID_ARGUMENT", o.Code)
	require.NotContains(t, m.log.text(), secretText)
	require.Contains(t, m.log.text(), "action=call")
	require.Contains(t, m.log.text(), "outcome=NOT_FOUND")
}

// What cannot be called is refused before anything is sent.
func TestCallsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	m.serveProbes(t)
	m.serveBroadcasts(t, "one")
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{callOfProbes, `{"request": {"nonsense": 1}}`, http.StatusBadRequest, "nonsense"},
		{callOfProbes, `{"request": {"text": 1}}`, http.StatusBadRequest, "text"},
		{callOfProbes, `{"timeoutMs": -1}`, http.StatusBadRequest, "timeoutMs"},
		{callOfProbes, `{"timeoutMs": 86400000}`, http.StatusBadRequest, "timeoutMs"},
		{callOfProbes, `{"request": `, http.StatusBadRequest, "body"},
		{methodPath(probes, "Nothing") + "/call", `{}`, http.StatusNotFound, "Nothing"},
		{methodPath("no.such.Service", "Do") + "/call", `{}`, http.StatusNotFound, "no.such.Service"},
		{methodPath(broadcasts, "Tell") + "/call", `{"instance": "one"}`, http.StatusBadRequest, "instance"},
	} {
		a := m.ask(t, http.MethodPost, c.path, c.body)
		require.Equal(t, c.status, a.status, "%s %s: %s", c.path, c.body, a.body)
		require.Contains(t, a.problem(t).Detail, c.says)
	}
}

// A broadcast has a reply of each instance, a command an id, and an event is published.
func TestOtherPatterns(t *testing.T) {
	t.Parallel()
	m := start(t, everything)
	m.serveBroadcasts(t, "one", "two")
	o := post[monitorapi.CallOutcome](t, m, methodPath(broadcasts, "Tell")+"/call", `{}`)
	require.Len(t, o.Replies, 2)
	for _, r := range o.Replies {
		require.Equal(t, "OK", r.Code)
		require.JSONEq(t, `{"instanceName": "`+r.Instance+`"}`, string(r.Response))
	}

	m.serveJobs(t, func(string) bool { return false })
	o = post[monitorapi.CallOutcome](t, m, methodPath(jobs, "Work")+"/call", `{"request": `+textRequest+`}`)
	require.Equal(t, "OK", o.Code, o.Error)
	require.NotEmpty(t, o.CommandID)
	require.Eventually(t, func() bool {
		return get[monitorapi.CommandDetail](t, m, "/api/v1/commands/"+jobs+"/"+o.CommandID).State == "SUCCEEDED"
	}, patience, 20*time.Millisecond)
	require.NotContains(t, m.log.text(), secretText)
}
