package root_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/wire"
)

// A reader that goes away, as head does, ends each command, and nothing tells of it.
func TestClosedPipeEndsQuietly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.visit(t, func(path string, args []string) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			read, write, err := os.Pipe()
			require.NoError(t, err)
			require.NoError(t, read.Close())
			p := clitest.StartTo(t, w.env(), write, args...)
			require.NoError(t, write.Close())
			r := p.Wait(t)
			for _, trace := range []string{"goroutine", "panic", "pipe", "signal"} {
				assert.NotContains(t, r.Err, trace)
			}
			assert.NotEqual(t, 2, r.Code, r.Err)
		})
	})
}

// Where nobody at a terminal reads the output, no byte of it controls one.
func TestNoEscapesWithoutATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.visit(t, func(path string, args []string) {
		if slices.Contains(endless, path) {
			return
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := clitest.Run(t, w.env("NO_COLOR=", "TERM=xterm"), args...)
			harmless(t, r.Out)
			harmless(t, r.Err)
			assert.NotEqual(t, 2, r.Code, r.Err)
		})
	})
}

// What watch prints as it happens controls no terminal either.
func TestNoEscapesInWhatIsWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := clitest.Start(t, w.env("NO_COLOR=", "TERM=xterm"), "watch")
	p.Out().AwaitThat(t, "has the version", func(out string) bool { return strings.Contains(out, "title") })
	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code)
	harmless(t, r.Out)
	assert.Contains(t, r.Out, `\x1b[31m`)
}

// harmless checks that a text has no character that controls a terminal.
func harmless(t *testing.T, text string) {
	t.Helper()
	assert.Equal(t, cli.Clean(text), text)
}

// A command that takes --output json prints JSON and nothing else, one value or one a line.
func TestJSONIsAllJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken := map[string]bool{}
	each(func(path string, c *cobra.Command) {
		names, _ := cli.Taken(c)
		taken[path] = slices.Contains(names, "output")
	})
	w.visit(t, func(path string, args []string) {
		if slices.Contains(endless, path) || path == "help" {
			return
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := clitest.Run(t, w.env(), append(args, "--output", "json")...)
			if !taken[path] {
				assert.Equal(t, 2, r.Code, "it does not take --output")
				assert.Contains(t, r.Err, "leave --output out")
				return
			}
			values := json.NewDecoder(strings.NewReader(r.Out))
			for {
				var value any
				err := values.Decode(&value)
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err, r.Out)
			}
			harmless(t, r.Out)
		})
	})
}

// A flag that would do nothing is refused, and not in the help.
func TestFlagsThatDoNothingAreRefused(t *testing.T) {
	t.Parallel()
	n := 0
	each(func(path string, c *cobra.Command) {
		_, refused := cli.Taken(c)
		if len(refused) == 0 {
			return
		}
		n++
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			help := clitest.Run(t, nil, append(strings.Fields(path), "--help")...).Out
			assert.Contains(t, help, "--no-color")
			for _, name := range refused {
				assert.NotContains(t, help, "--"+name+" ")
			}
			_, err := c.InheritedFlags().GetBool(refused[0])
			value := "--" + refused[0] + "=1s"
			if err == nil {
				value = "--" + refused[0]
			}
			args := append(strings.Fields(path), value)
			for range strings.Count(c.Use, " ") {
				args = append(args, "x")
			}
			r := clitest.Run(t, nil, args...)
			assert.Equal(t, 2, r.Code, r.Err)
			assert.Empty(t, r.Out)
		})
	})
	assert.Positive(t, n)
}

func TestHelpOfEachCommand(t *testing.T) {
	t.Parallel()
	r := clitest.Run(t, nil)
	assert.Equal(t, 0, r.Code)
	assert.Equal(t, clitest.Run(t, nil, "--help").Out, r.Out)
	assert.Equal(t, clitest.Run(t, nil, "help").Out, r.Out)
	each(func(path string, _ *cobra.Command) {
		names := strings.Fields(path)
		help := clitest.Run(t, nil, append([]string{"help"}, names...)...)
		assert.Equal(t, 0, help.Code, path)
		assert.Equal(t, clitest.Run(t, nil, append(names, "--help")...).Out, help.Out, path)
	})
	for _, c := range []struct{ args, want string }{
		{"help nothing", `unknown command "nothing" of aegis`},
		{"help cal", "did you mean call?"},
		{"help commands lst", "did you mean list?"},
		{"cal", "did you mean call?"},
		{"call", "takes SERVICE/METHOD [JSON...], and 0 arguments are given"},
		{"ls a b", "takes [SERVICE], and 2 arguments are given"},
		{"doctor x", "takes no argument, and 1 argument is given"},
	} {
		r := clitest.Run(t, nil, strings.Fields(c.args)...)
		assert.Equal(t, 2, r.Code, c.args)
		assert.Empty(t, r.Out, c.args)
		assert.Contains(t, r.Err, c.want)
	}
}

// A leader's record that nobody of Aegis wrote is told of, and cannot disturb a terminal.
func TestHostileLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	js, err := jetstream.New(w.nats.Connect(t).NATS())
	require.NoError(t, err)
	record := wire.LeaderRecord{
		Version: 1, Instance: hostile, Process: hostile, Term: 7, ServerID: hostile, Since: time.Now().UTC().Format(time.RFC3339Nano),
		LeaseMS: 3000, WindowMS: 1000, Probers: []string{}, Released: new(bool),
	}
	bucket, err := js.Stream(t.Context(), "KV_aegis-leaders")
	require.NoError(t, err)
	key := fmt.Sprintf("a.v1.Hostile.eu.%d", bucket.CachedInfo().Created.UnixNano())
	_, err = js.Publish(t.Context(), "$KV.aegis-leaders."+key, record.Encode())
	require.NoError(t, err)
	for _, args := range [][]string{{"leaders"}, {"doctor"}, {"tree"}, {"leaders", "-o", "json"}, {"doctor", "-o", "json"}} {
		r := clitest.Run(t, w.env(), args...)
		assert.NotEqual(t, 2, r.Code)
		harmless(t, r.Out)
		harmless(t, r.Err)
		told := map[string]string{"leaders": "title", "doctor": "leaders.foreign", "tree": orders}
		assert.Contains(t, r.Out+r.Err, told[args[0]], args)
	}
}
