package monitor_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	"github.com/aegisrpc/aegis/internal/monitorhttp"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const module = "../../../.."

// document returns docs/monitor.md.
func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(module, "docs", "monitor.md"))
	require.NoError(t, err)
	return string(text)
}

// shown returns the lines of the document's blocks of shell that begin with a text.
func shown(t *testing.T, begin string) (lines []string) {
	t.Helper()
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(document(t), -1) {
		for line := range strings.Lines(block[1]) {
			if strings.HasPrefix(line, begin) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	require.NotEmpty(t, lines)
	return lines
}

// The monitors that the document shows start as they are written, but for their ports.
func TestCommandsOfTheDocumentRun(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	cert, key, _ := newCertificate(t)
	dir := filepath.Dir(cert)
	require.Equal(t, filepath.Join(dir, "key.pem"), key)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("s3cr3t\n"), 0o600))
	for _, line := range shown(t, "aegis monitor") {
		args := strings.Fields(strings.ReplaceAll(line, ":7177", ":0"))[1:]
		if !strings.Contains(line, "--listen") {
			args = append(args, "--listen", "127.0.0.1:0")
		}
		p := clitest.StartIn(t, dir, []string{"NATS_URL=" + n.URL()}, args...)
		assert.Regexp(t, at, p.Out().Await(t, "\n"), line)
		stop(t, p)
	}
	r := clitest.Run(t, []string{"NATS_URL=" + n.URL()}, strings.Fields(shown(t, "aegis doctor")[0])[1:]...)
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, document(t), monitorhttp.DefaultAddress)
}

// Each address that the document shows has something.
func TestAddressesOfTheDocumentAnswer(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	testservice.Serve(t, n)
	p, url := start(t, []string{"NATS_URL=" + n.URL()})
	address := regexp.MustCompile(`https?://[^/ ]+:7177/(\S*)$`)
	for _, line := range shown(t, "curl") {
		found := address.FindStringSubmatch(line)
		require.NotNil(t, found, line)
		path := strings.ReplaceAll(found[1], "order.v1.OrderService", testservice.Service)
		if strings.Contains(line, "text/event-stream") {
			firstEvent(t, url+path)
			continue
		}
		a := ask(t, plain(), url+path, unchanged)
		assert.Equal(t, http.StatusOK, a.status, "%s: %s", line, a.body)
	}
	stop(t, p)
}

// The code that the document shows is that of the example, which is compiled.
func TestCodeOfTheDocumentIsThatOfTheExample(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(filepath.Join(module, "runtime", "aegismonitor", "example_mount_test.go"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(document(t), -1)
	require.Len(t, blocks, 1)
	code := "\t" + strings.ReplaceAll(strings.TrimSpace(blocks[0][1]), "\n", "\n\t")
	assert.Contains(t, string(example), code)
}
