package root_test

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// silent returns the URL of a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return "nats://" + l.Addr().String()
}

// Ctrl-C ends each command that runs for long with 130, and no line is left half written.
func TestInterruptedCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		args []string
		out  string // what the command has printed when it is interrupted
		err  string // the same of standard error
	}{
		"watch":         {[]string{"watch", "-o", "json"}, `"kind"`, ""},
		"subscribe":     {[]string{"subscribe", events + "/Stored", "--from", "all"}, `"sequence"`, ""},
		"call":          {[]string{"call", flows + "/Count", `{"numbers": "3"}`}, `"number":"2"`, ""},
		"progress":      {[]string{"progress", work, w.waits, "-o", "json"}, `"percent"`, ""},
		"send --await":  {[]string{"send", work, `{"text": "waits"}`, "--await"}, "", "under way"},
		"bench":         {[]string{"bench", probes + "/Do", "--duration", "1h", "--verbose"}, "", "connected"},
		"doctor":        {[]string{"doctor", "--watch", "-o", "json"}, `"finding"`, ""},
		"monitor":       {[]string{"monitor", "--listen", "127.0.0.1:0", "-o", "json"}, `"url"`, ""},
		"mcp":           {[]string{"mcp", "--verbose"}, "", "connected"},
		"ping":          {[]string{"ping", "--count", "10000", "--verbose"}, "", "connected"},
		"result":        {[]string{"result", work, w.waits, "--await", "--verbose"}, "", "connected"},
		"wait for NATS": {[]string{"ls", "--server", silent(t), "--timeout", "1h", "--verbose"}, "", "connecting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input, hold := io.Pipe() // mcp ends with its input
			defer func() { _ = hold.Close() }()
			p := clitest.StartInput(t, w.env(), input, c.args...)
			if c.out != "" {
				p.Out().Await(t, c.out)
			}
			if c.err != "" {
				p.Err().Await(t, c.err)
			}
			p.Interrupt(t)
			require.NoError(t, hold.Close())
			r := p.Wait(t)
			assert.Equal(t, 130, r.Code, r.Err)
			assert.NotContains(t, r.Err, "goroutine")
			if r.Out == "" {
				return
			}
			assert.True(t, strings.HasSuffix(r.Out, "\n"), "%q", r.Out)
			if name == "bench" {
				return // a report of what there was
			}
			for line := range strings.Lines(r.Out) {
				assert.True(t, json.Valid([]byte(line)), line)
			}
		})
	}
}
