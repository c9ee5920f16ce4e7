package call_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// world is a NATS server with two instances of the services.
func world(t *testing.T) (env []string) {
	t.Helper()
	nats := aegistest.StartNATS(t)
	serve(t, nats, "one", teller{})
	serve(t, nats, "two", teller{})
	return []string{"NATS_URL=" + nats.URL()}
}

func TestCallPrintsTheResponse(t *testing.T) {
	t.Parallel()
	env := world(t)
	r := clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", `{"text": "hi"}`, "--instance", "two", "-H", "tenant: acme", "-i")
	require.Equal(t, 0, r.Code, r.Err)
	assert.JSONEq(t, `{"text": "hi", "instanceName": "two"}`, r.Out)
	assert.Equal(t, "served-for: acme\n", r.Err)

	r = clitest.Run(t, env, "call", "ProbeService.Do")
	require.Equal(t, 0, r.Code, "without the package, with a dot, without a request: %s", r.Err)
	assert.Contains(t, r.Out, "instanceName")

	file := filepath.Join(t.TempDir(), "request.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"text": "from a file"}`), 0o600))
	r = clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", "@"+file)
	assert.Contains(t, r.Out, "from a file", r.Err)
	r = clitest.RunInput(t, env, `{"text": "from a pipe"}`, "call", "aegistest.v1.ProbeService/Do", "-")
	assert.Contains(t, r.Out, "from a pipe", r.Err)
}

func TestCallOfStreams(t *testing.T) {
	t.Parallel()
	env := world(t)
	r := clitest.Run(t, env, "call", "aegistest.v1.StreamService/Count", `{"numbers": 3}`)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Equal(t, []string{`{"number":"1"}`, `{"number":"2"}`, `{"number":"3"}`}, strings.Fields(r.Out))

	r = clitest.RunInput(t, env, `{"number": 1} {"number": 2}`, "call", "aegistest.v1.StreamService/Sum", "-", `{"number": 39}`)
	require.Equal(t, 0, r.Code, r.Err)
	assert.JSONEq(t, `{"sum": "42", "numbers": "3"}`, r.Out)

	r = clitest.RunInput(t, env, `{"number": 1} {"number": "x"}`, "call", "aegistest.v1.StreamService/Sum")
	assert.Equal(t, 1, r.Code)
	assert.Empty(t, r.Out)
	assert.Contains(t, r.Err, "message 2 of the standard input")
}

func TestABidiStreamAnswersEachMessageAsItComes(t *testing.T) {
	t.Parallel()
	env := world(t)
	in, write := io.Pipe()
	p := clitest.StartInput(t, env, in, "call", "aegistest.v1.StreamService/Chat")
	for _, text := range []string{"a", "b"} {
		_, err := io.WriteString(write, `{"text": "`+text+`"}`+"\n")
		require.NoError(t, err)
		p.Out().Await(t, `{"text":"you said `+text+`"}`)
	}
	require.NoError(t, write.Close())
	r := p.Wait(t)
	assert.Equal(t, 0, r.Code, r.Err)
}

func TestABroadcastNamesTheInstances(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serve(t, nats, "one", teller{})
	env := []string{"NATS_URL=" + nats.URL()}
	r := clitest.Run(t, env, "call", "aegistest.v1.BroadcastService/Tell")
	require.Equal(t, 0, r.Code, r.Err)
	assert.JSONEq(t, `{"instance": "one", "response": {"instanceName": "one"}}`, r.Out)

	serve(t, nats, "two", teller{refuses: true})
	r = clitest.Run(t, env, "call", "aegistest.v1.BroadcastService/Tell")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Out, `{"instance":"one","response":{"instanceName":"one"}}`)
	assert.Contains(t, r.Out, `"code":"UNAVAILABLE"`)
	assert.Contains(t, r.Err, "1 of 2 instances")
}

func TestErrorsOfCallsSayWhatToDo(t *testing.T) {
	t.Parallel()
	env := world(t)
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"unknown service": {[]string{"aegistest.v1.ProbeServce/Do"}, "did you mean aegistest.v1.ProbeService", 1},
		"unknown method":  {[]string{"aegistest.v1.ProbeService/Dp"}, "the methods are Do, Get, Quick", 1},
		"unknown field":   {[]string{"aegistest.v1.ProbeService/Do", `{"texd": "a"}`}, `no field "texd"; did you mean text?`, 1},
		"wrong type":      {[]string{"aegistest.v1.ProbeService/Do", `{"text": 7}`}, "line 1, column 10", 1},
		"no JSON":         {[]string{"aegistest.v1.ProbeService/Do", `{"text": `}, "JSON", 1},
		"two requests":    {[]string{"aegistest.v1.ProbeService/Do", `{}`, `{}`}, "takes one message", 2},
		"no method":       {[]string{"Probe"}, "SERVICE/METHOD", 2},
		"command":         {[]string{"aegistest.v1.JobService/Work"}, "aegis send", 2},
		"contradiction":   {[]string{"aegistest.v1.ProbeService/Do", "--instance", "one", "--strategy", "random"}, "give one of them", 2},
		"strategy":        {[]string{"aegistest.v1.ProbeService/Do", "--strategy", "best"}, "least-loaded", 2},
		"header":          {[]string{"aegistest.v1.ProbeService/Do", "-H", "tenant"}, "KEY: VALUE", 2},
		"label":           {[]string{"aegistest.v1.ProbeService/Do", "--where", "developer"}, "--where developer: use KEY=VALUE", 2},
		"label and name":  {[]string{"aegistest.v1.ProbeService/Do", "--instance", "one", "--where", "a=b"}, "give one of them", 2},
		"label broadcast": {[]string{"aegistest.v1.BroadcastService/Tell", "--where", "a=b"}, "is a broadcast, and no instance is selected for it", 2},
		"name broadcast":  {[]string{"aegistest.v1.BroadcastService/Tell", "--instance", "one"}, "is a broadcast, and no instance is selected for it", 2},
		"no file":         {[]string{"aegistest.v1.ProbeService/Do", "@nowhere.json"}, "nowhere.json", 1},
		"no instance":     {[]string{"aegistest.v1.ProbeService/Do", "--instance", "three"}, "three", 1},
	} {
		r := clitest.Run(t, env, append([]string{"call"}, c.args...)...)
		assert.Equal(t, c.code, r.Code, "%s: %s", name, r.Err)
		assert.Contains(t, r.Err, c.want, name)
		assert.Empty(t, r.Out, name)
	}
}

func TestTheErrorOfAHandlerHasItsDetails(t *testing.T) {
	t.Parallel()
	env := world(t)
	r := clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", `{"text": "fail"}`)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "FAILED_PRECONDITION: not today")
	assert.Contains(t, r.Err, `"90s"`)

	r = clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", `{"text": "fail"}`, "-o", "json")
	assert.Equal(t, 1, r.Code)
	var out struct {
		Error struct {
			Code, Message string
			Remote        bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.Err), &out), r.Err)
	assert.Equal(t, "FAILED_PRECONDITION", out.Error.Code)
	assert.True(t, out.Error.Remote)
}

func TestTraceShowsThePathOfTheRequest(t *testing.T) {
	t.Parallel()
	env := world(t)
	r := clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", `{"text": "hi"}`, "--trace")
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, `"text": "hi"`)
	assert.Regexp(t, `in client \d+ "\S+ aegis\b`, r.Out)
	assert.Regexp(t, `out client \d+ "[^"]+", subscription aegis\.call\.aegistest\.v1\.ProbeService\.Do, queue aegis`, r.Out)
	assert.Contains(t, r.Out, "ms  reply")

	r = clitest.Run(t, env, "call", "aegistest.v1.ProbeService/Do", `{"text": "fail"}`, "--trace")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "not today")
	r = clitest.Run(t, env, "call", "aegistest.v1.StreamService/Count", "--trace")
	assert.Equal(t, 2, r.Code)
}

func TestCtrlCEndsACall(t *testing.T) {
	t.Parallel()
	env := world(t)
	in, write, err := os.Pipe() // a file, which the process reads itself, so that it stays open
	require.NoError(t, err)
	t.Cleanup(func() { _ = errors.Join(in.Close(), write.Close()) })
	p := clitest.StartInput(t, env, in, "call", "aegistest.v1.StreamService/Chat")
	_, err = io.WriteString(write, `{"text": "a"}`)
	require.NoError(t, err)
	p.Out().Await(t, "you said a")
	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code, r.Err)
	assert.True(t, strings.HasSuffix(r.Out, "}\n"), r.Out)
	assert.Empty(t, r.Err)
}
