//go:build unix

package dev

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// The quick start of the README is followed, but for the installation, with the command of
// this checkout. What it shows has to come, but for numbers and the name of the instance.
func TestTheReadmeShowsWhatHappens(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../README.md")
	require.NoError(t, err)
	commands := blocks(string(text), "sh")
	require.Contains(t, commands[0], "\naegis init shop\ncd shop && aegis dev\n")

	folder := t.TempDir()
	r := clitest.RunIn(t, folder, nil, "init", "shop")
	require.Equal(t, 0, r.Code, r.Err)
	dir := filepath.Join(folder, "shop")
	assert.Contains(t, content(t, dir, "proto/shop/v1/shop.proto"), blocks(string(text), "proto")[0])
	assert.Contains(t, content(t, dir, "internal/service/hello.go"), blocks(string(text), "go")[0])

	p := clitest.StartIn(t, dir, nil, "dev")
	shown := blocks(string(text), "text")[0]
	for line := range strings.Lines(shown) {
		pattern := asShown(strings.TrimSuffix(line, "\n"))
		p.Out().AwaitThat(t, "matches "+pattern.String(), pattern.MatchString)
	}
	service, arg, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(commands[1]), "aegis call "), " ")
	require.True(t, found)
	r = clitest.Run(t, []string{"NATS_URL=" + urlOf(t, p)}, "call", service, strings.Trim(arg, "'"))
	require.Equal(t, 0, r.Code, r.Err)
	var got, want map[string]string
	require.NoError(t, json.Unmarshal([]byte(r.Out), &got))
	require.NoError(t, json.Unmarshal([]byte(blocks(string(text), "json")[0]), &want))
	assert.NotEmpty(t, got["instance"])
	got["instance"] = want["instance"]
	assert.Equal(t, want, got)
	interrupt(t, p)
}

// blocks returns the fenced blocks of a language.
func blocks(text, language string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// asShown returns the pattern of a line that is shown with other numbers and another
// instance.
func asShown(line string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(line)
	pattern = regexp.MustCompile(`instance=\S+`).ReplaceAllString(pattern, `instance=\S+`)
	pattern = regexp.MustCompile(`\d+`).ReplaceAllString(pattern, `\d+`)
	pattern = regexp.MustCompile(` in \\d\+\S* s;`).ReplaceAllString(pattern, ` in \S+ s;`)
	// Where another program has port 4222, the line says where NATS is.
	pattern = strings.Replace(pattern, "aegis call ", `aegis call (?:--server \S+ )?`, 1)
	return regexp.MustCompile(`(?m)^` + pattern + `$`)
}

func content(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return string(text)
}
