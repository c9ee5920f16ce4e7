package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

type probe struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
}

func (probe) Do(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	return &testv1.DoResponse{Text: "did " + req.GetText()}, nil
}

func (probe) Get(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
	if req.GetText() == "nothing" {
		return nil, aegis.NewError(aegis.CodeNotFound, "there is nothing")
	}
	return &testv1.GetResponse{Text: "got " + req.GetText()}, nil
}

type worker struct {
	aegistestv1aegis.UnimplementedJobServiceServer
}

func (worker) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	job, _ := aegis.JobFromContext(ctx)
	if err := job.Report(ctx, aegis.Progress{Percent: 50, Message: "half of it"}); err != nil {
		return nil, err
	}
	return &testv1.WorkResponse{Text: "done " + req.GetText()}, nil
}

// client is a client of the official SDK, connected to the command.
type client struct {
	t       *testing.T
	session *mcp.ClientSession
	changed chan struct{}

	mu       sync.Mutex
	progress []string
}

func connect(t *testing.T, url string, args ...string) *client {
	t.Helper()
	c := &client{t: t, changed: make(chan struct{}, 100)}
	cmd := exec.Command(clitest.Binary(t), append([]string{"mcp", "--server", url}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	sdk := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { c.changed <- struct{}{} },
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.progress = append(c.progress, req.Params.Message)
		},
	})
	var err error
	c.session, err = sdk.Connect(ctx, &mcp.CommandTransport{Command: cmd}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.session.Close()) })
	return c
}

func (c *client) tools() map[string]*mcp.Tool {
	c.t.Helper()
	list, err := c.session.ListTools(c.t.Context(), nil)
	require.NoError(c.t, err)
	tools := make(map[string]*mcp.Tool)
	for _, tool := range list.Tools {
		tools[tool.Name] = tool
	}
	return tools
}

func (c *client) call(tool string, arguments any, token string) (text string, failed bool) {
	c.t.Helper()
	params := &mcp.CallToolParams{Name: tool, Arguments: arguments}
	if token != "" {
		params.SetProgressToken(token)
	}
	res, err := c.session.CallTool(c.t.Context(), params)
	require.NoError(c.t, err)
	require.Len(c.t, res.Content, 1)
	content, ok := res.Content[0].(*mcp.TextContent)
	require.True(c.t, ok)
	return content.Text, res.IsError
}

func serve(t *testing.T, nats *aegistest.NATS) {
	t.Helper()
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
			aegistestv1aegis.RegisterJobServiceServer(srv, worker{}),
			aegistestv1aegis.RegisterStreamServiceServer(srv, testservice.Streams{}),
		)
	})
}

const get = "aegistest-v1-ProbeService-Get"

func TestOnlyReadingMethodsAreToolsUnlessAllowed(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serve(t, nats)
	c := connect(t, nats.URL())
	tools := c.tools()
	require.Contains(t, tools, get)
	require.Len(t, tools, 1)
	assert.True(t, tools[get].Annotations.ReadOnlyHint)
	assert.Contains(t, tools[get].Description, "Get ")
	schema, err := json.Marshal(tools[get].InputSchema)
	require.NoError(t, err)
	assert.Contains(t, string(schema), `"text":{"description":`)

	text, failed := c.call(get, map[string]any{"text": "it"}, "")
	assert.False(t, failed)
	assert.JSONEq(t, `{"text": "got it"}`, text)
	text, failed = c.call(get, map[string]any{"text": "nothing"}, "")
	assert.True(t, failed)
	assert.Contains(t, text, "NOT_FOUND: there is nothing")
	text, failed = c.call(get, map[string]any{"txt": "it"}, "")
	assert.True(t, failed)
	assert.Contains(t, text, "did you mean text?")
	_, err = c.session.CallTool(t.Context(), &mcp.CallToolParams{Name: "aegistest-v1-ProbeService-Do", Arguments: map[string]any{}})
	assert.Error(t, err, "a method that may change something")
}

func TestWritesCommandsAndStreamsAreToolsIfAllowed(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serve(t, nats)
	c := connect(t, nats.URL(), "--allow-writes", "--max-messages", "2")
	assert.False(t, c.tools()["aegistest-v1-ProbeService-Do"].Annotations.ReadOnlyHint)
	text, failed := c.call("aegistest-v1-ProbeService-Do", map[string]any{"text": "it"}, "")
	assert.False(t, failed, text)
	text, failed = c.call("aegistest-v1-JobService-Work", map[string]any{"text": "it"}, "token")
	assert.False(t, failed, text)
	assert.JSONEq(t, `{"text": "done it"}`, text)
	assert.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.progress) > 0 && c.progress[0] == "half of it"
	}, 10*time.Second, time.Millisecond)
	text, failed = c.call("aegistest-v1-StreamService-Count", map[string]any{"numbers": 5}, "")
	assert.False(t, failed, text)
	assert.JSONEq(t, `{"responses": [{"number": "1"}, {"number": "2"}], "more": true}`, text)
	text, failed = c.call("aegistest-v1-StreamService-Sum", map[string]any{"requests": []any{map[string]any{"number": 40}, map[string]any{"number": 2}}}, "")
	assert.False(t, failed, text)
	assert.JSONEq(t, `{"sum": "42", "numbers": "2"}`, text)
}

func TestToolsComeWithTheServices(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	c := connect(t, nats.URL())
	require.Empty(t, c.tools())
	serve(t, nats)
	select {
	case <-c.changed:
	case <-time.After(time.Minute):
		t.Fatal("the client was not told that there are tools")
	}
	require.Contains(t, c.tools(), get)
}

func TestANamedServiceHasToRun(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	r := clitest.Run(t, nil, "mcp", "--service", "nobody.v1.NobodyService", "--server", nats.URL())
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "nobody.v1.NobodyService")
	assert.Empty(t, r.Out)
}
