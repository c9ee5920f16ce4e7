package root_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// colour is the only escape sequence that a command writes beside those of a live view.
var colour = regexp.MustCompile("\x1b\\[[0-9]*m")

func TestLinesFitANarrowTerminal(t *testing.T) {
	t.Parallel()
	const columns = 40
	w := newWorld(t)
	for _, args := range []string{
		"ls", "ls " + orders, "tree", "health", "describe " + orders, "describe " + orders + "/PlaceOrder", "commands", "commands list " + jobs,
		"commands show " + jobs + " " + w.waits, "deadletters", "deadletters list " + jobs, "deadletters show " + jobs + " 1", "streams " + jobs,
		"leaders", "ping " + orders, "doctor", "doctor --list",
	} {
		for _, env := range []string{"NO_COLOR=", "NO_COLOR=1"} {
			t.Run(args+" "+env, func(t *testing.T) {
				t.Parallel()
				r := clitest.RunTerminal(t, columns, w.env(env), strings.Fields(args)...)
				out := strings.ReplaceAll(r.Out, "\r\n", "\n")
				assert.NotEmpty(t, out, r.Err)
				assert.Equal(t, env == "NO_COLOR=", colour.MatchString(out), "colours")
				out = colour.ReplaceAllString(out, "")
				harmless(t, out)
				for line := range strings.Lines(out) {
					assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), columns, "%q", line)
				}
			})
		}
	}
}

func TestLiveViewIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range []string{"tree --watch", "health --watch", "doctor --watch", "watch"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p, out := clitest.StartTerminal(t, 80, w.env(), strings.Fields(args)...)
			p.Out().Await(t, orders)
			p.Interrupt(t)
			assert.Equal(t, 130, p.Wait(t).Code)
			text := out()
			assert.True(t, strings.HasSuffix(text, "\n") || strings.HasSuffix(text, "\x1b[J"), "%q", text)
		})
	}
}
