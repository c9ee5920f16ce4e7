//go:build unix

package dev

import (
	"encoding/json"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

var monitors = regexp.MustCompile(`the monitor shows the services at (http://127\.0\.0\.1:\d+/)\n`)

// mayAt asks a monitor what its users may do.
func mayAt(t *testing.T, url string) (may monitorapi.May) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"api/v1/overview", http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	var o monitorapi.Overview
	require.NoError(t, json.NewDecoder(res.Body).Decode(&o))
	return o.May
}

func monitorOf(t *testing.T, p *clitest.Process) (url string) {
	t.Helper()
	out := p.Out().AwaitThat(t, "has the address of the monitor", monitors.MatchString)
	return monitors.FindStringSubmatch(out)[1]
}

func TestMonitorOfDevMayDoEverythingOnItsNATS(t *testing.T) {
	t.Parallel()
	p := clitest.StartIn(t, tinyProject(t, serving), nil, "dev")
	assert.Equal(t, monitorapi.May{Act: true, Call: true, ShowPayloads: true}, mayAt(t, monitorOf(t, p)))
	p.Out().Await(t, "server | serving by")
	interrupt(t, p)
}

func TestMonitorOfDevOnlyReadsOnAnotherNATS(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	p := clitest.StartIn(t, tinyProject(t, serving), nil, "dev", "--server", n.URL(), "--monitor", "127.0.0.1:0")
	assert.Equal(t, monitorapi.May{}, mayAt(t, monitorOf(t, p)))
	p.Out().Await(t, "server | serving by")
	interrupt(t, p)
}

func TestMonitorOfDevStaysOnThisMachine(t *testing.T) {
	t.Parallel()
	dir := tinyProject(t, serving)
	r := clitest.RunIn(t, dir, nil, "dev", "--monitor", "0.0.0.0:0")
	assert.Equal(t, 2, r.Code)
	assert.Contains(t, r.Err, "the monitor of dev asks nobody who they are")
	p := clitest.StartIn(t, dir, nil, "dev", "--monitor", "off")
	p.Out().Await(t, "server | serving by")
	assert.NotContains(t, interrupt(t, p), "the monitor shows")
}
