package repo

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each line of Go that the page shows is one of an example, which is compiled and run.
func TestCodeOfThePageAboutInterceptorsIsThatOfExamples(t *testing.T) {
	lines := make(map[string]bool)
	for _, name := range []string{
		"runtime/example_interceptor_test.go", "runtime/aegislog/example_test.go",
		"runtime/aegisvalidate/example_test.go", "runtime/aegislimit/example_test.go",
	} {
		for line := range strings.Lines(read(t, name)) {
			lines[strings.TrimSpace(line)] = true
		}
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "docs/interceptors.md"), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			assert.True(t, lines[strings.TrimSpace(line)], "no example has the line %s", line)
		}
	}
}
