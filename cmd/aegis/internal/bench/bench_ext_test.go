package bench_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// run runs the command and reads its report.
func run(t *testing.T, nats *aegistest.NATS, args ...string) *report.Report {
	t.Helper()
	r := clitest.Run(t, nil, append([]string{"bench", "--server", nats.URL(), "-o", "json"}, args...)...)
	require.Equal(t, 0, r.Code, r.Err)
	return decode(t, r.Out)
}

func decode(t *testing.T, out string) *report.Report {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	r := &report.Report{}
	require.NoError(t, d.Decode(r), out)
	assert.False(t, d.More(), "one report and nothing else")
	assert.Equal(t, 1, r.Version)
	return r
}

func TestAClosedLoopMakesAsManyCallsAsAskedFor(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	seen := serveEcho(t, nats, "one")
	r := run(t, nats, echoMethod, `{"text": "hello"}`, "--requests", "300", "--callers", "7")
	assert.Equal(t, int64(300), r.Totals.Calls)
	assert.Zero(t, r.Totals.Errors)
	assert.Equal(t, "closed", r.Load.Loop)
	assert.Equal(t, 7, r.Load.Callers)
	assert.Equal(t, "none", r.Load.Correction)
	assert.Equal(t, int64(300), r.Latency.Count)
	texts, _ := seen.all()
	assert.Equal(t, map[string]int{"hello": 300}, texts)

	r = run(t, nats, echoMethod, `{"text": "hello"}`, "--duration", "300ms", "--expected-interval", "1ms")
	assert.Equal(t, "expected-interval", r.Load.Correction)
	assert.InDelta(t, 0.3, r.Elapsed, 1e-9)
	assert.InDelta(t, 0.06, r.Load.WarmUp, 1e-9)
	texts, _ = seen.all()
	assert.Greater(t, int64(texts["hello"])-300, r.Totals.Calls, "calls of the warm-up do not count")
}

func TestEveryShapeMakesTheCallsOfItsIntegral(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	for _, shape := range []struct {
		args  string
		calls int64
	}{
		{"--rate 400 --duration 500ms", 200},
		{"--rate 400 --duration 500ms --requests 50", 50},
		{"--rate 100 --shape ramp --peak 300 --duration 500ms", 100},
		{"--rate 100 --shape spike --peak 1000 --period 100ms --duration 500ms", 140},
		{"--rate 100 --shape wave --peak 500 --period 250ms --duration 500ms", 150},
		{"--rate 300 --shape burst --period 100ms --duration 500ms", 150},
	} {
		args := append([]string{echoMethod, `{"text": "x"}`, "--warm-up", "0s"}, strings.Fields(shape.args)...)
		r := run(t, nats, args...)
		assert.InDelta(t, shape.calls, r.Totals.Calls, 1, shape.args)
		assert.Equal(t, "open", r.Load.Loop)
		assert.Equal(t, "intended-start", r.Load.Correction)
		assert.NotNil(t, r.Lag)
	}
}

func TestStressReportsTheHighestRateThatHeld(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	stress := []string{
		"bench", "--server", nats.URL(), "-o", "json", echoMethod, `{"text": "x"}`,
		"--rate", "100", "--shape", "stress", "--period", "100ms", "--warm-up", "0s",
	}
	late := time.Now().Add(30 * time.Second)
	for {
		r := clitest.Run(t, nil, append(stress, "--peak", "150", "--max-p99", "50s")...)
		report := decode(t, r.Out)
		require.NotNil(t, report.Stress)
		require.NotEmpty(t, report.Stress.Steps)
		assert.InDelta(t, 100, report.Stress.Steps[0].Rate, 0)
		if report.Stress.HeldRate == 150 {
			assert.Equal(t, 0, r.Code, r.Err)
			assert.Greater(t, report.Elapsed, report.Totals.Time)
			break
		}
		require.True(t, time.Now().Before(late), "the machine has no time for 150 calls a second")
	}

	r := clitest.Run(t, nil, append(stress, "--max-p99", "1ns")...)
	assert.Equal(t, 1, r.Code)
	report := decode(t, r.Out)
	assert.Zero(t, report.Stress.HeldRate)
	assert.Contains(t, report.Stress.Steps[0].Why, "p99 above 1ns")
	assert.Contains(t, r.Err, "no rate held")

	r = clitest.Run(t, nil, append(stress, "--peak", "100", "--max-p99", "50s", "--min-rate", "101")...)
	assert.Equal(t, 1, r.Code, "the rate that held is below the one that was demanded")
	assert.False(t, decode(t, r.Out).Thresholds[0].Held)
}

func TestEveryPatternCanBeLoaded(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	one, two := servePatterns(t, nats, "one"), servePatterns(t, nats, "two")
	handled := func() int64 { return one.handled.Swap(0) + two.handled.Swap(0) }
	load := func(method string, args ...string) *report.Report {
		t.Helper()
		r := run(t, nats, append([]string{testProto + method, "--requests", "40", "--callers", "4"}, args...)...)
		assert.Equal(t, int64(40), r.Totals.Calls, method)
		assert.Zero(t, r.Totals.Errors, "%s: %v", method, r.Totals.Codes)
		return r
	}

	r := load("LeaderService/Lead")
	assert.Equal(t, "single active", r.Pattern)
	assert.Equal(t, int64(40), handled())

	r = load("StreamService/Count", `{"numbers": 25}`)
	assert.Equal(t, int64(1000), r.Totals.Messages)
	assert.Equal(t, int64(40), handled())

	r = load("BroadcastService/Tell")
	assert.Equal(t, int64(80), r.Totals.Messages, "a reply of each instance")
	assert.Equal(t, int64(80), handled())

	load("AccountService/Touch", `{"account": {"id": "key {{.N}}"}}`)
	assert.Equal(t, int64(40), handled())
	keys, _ := one.keys.all()
	others, _ := two.keys.all()
	assert.Len(t, keys, 40-len(others))
	assert.NotContains(t, keys, "", "the key is what the template made")

	untilOneGetsMost(t, func(text string) (int, int) {
		run(t, nats, testProto+"AccountService/Touch", `{"account": {"id": "`+text+`"}}`, "--requests", "1000", "--callers", "1")
		handled()
		keys, _ := one.keys.all()
		others, _ := two.keys.all()
		assert.Equal(t, 1000, keys[text]+others[text])
		return keys[text], others[text]
	})

	load("JobService/Work", "--await")
	assert.Equal(t, int64(40), handled())
	for _, method := range []string{"JobService/Work", "EventService/Core", "EventService/Stored"} {
		r = load(method, `{"text": "x"}`)
		got := int64(0)
		require.Eventually(t, func() bool { got += handled(); return got == 40 }, 20*time.Second, time.Millisecond, "%s: %d", method, got)
	}
	assert.Equal(t, "durable event", r.Pattern)
	load("EventService/Keyed", `{"key": "the key"}`)
	require.Eventually(t, func() bool {
		keys, _ := one.keys.all()
		others, _ := two.keys.all()
		return keys["the key"]+others["the key"] == 40
	}, 20*time.Second, time.Millisecond)
}

// untilOneGetsMost repeats a load of one key until one of two instances gets nearly all of
// it: before a client has found both, the key may be with the other. (An instance with more
// than its share shares the calls of a key, so that the load has one caller.)
func untilOneGetsMost(t *testing.T, load func(text string) (one, two int)) {
	t.Helper()
	late := time.Now().Add(30 * time.Second)
	for n := 0; ; n++ {
		one, two := load(fmt.Sprint("try ", n))
		if min(one, two) < (one+two)/10 {
			return
		}
		require.True(t, time.Now().Before(late), "%d and %d calls", one, two)
	}
}

func TestStreamsThatDoNotEndAreEndedWithTheRun(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	servePatterns(t, nats, "one")
	r := run(t, nats, testProto+"StreamService/Count", `{"numbers": 10, "text": "endless"}`, "--callers", "5", "--duration", "500ms", "--warm-up", "0s")
	assert.Equal(t, int64(5), r.Totals.Unfinished)
	assert.Equal(t, int64(50), r.Totals.Messages)
	assert.Zero(t, r.Totals.Calls)
}

func TestTemplatesGiveEachCallItsRequest(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	seen := serveEcho(t, nats, "one")
	file := filepath.Join(t.TempDir(), "request.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"text": "call {{.N}}"}`), 0o600))
	run(t, nats, echoMethod, "--data", "@"+file, "--requests", "200", "-H", "tenant: a:b")
	texts, tenants := seen.all()
	assert.Len(t, texts, 200)
	assert.Equal(t, 1, texts["call 0"])
	assert.Equal(t, 1, texts["call 199"])
	assert.Equal(t, map[string]int{"a:b": 200}, tenants)

	run(t, nats, echoMethod, `{"text": "again {{.N}}"}`, "--duration", "200ms", "--warm-up", "100ms")
	texts, _ = seen.all()
	for text, times := range texts {
		assert.Equal(t, 1, times, "calls of the warm-up have numbers of their own: %s", text)
	}
	before := len(texts)

	r := clitest.RunInput(t, nil, `{"text": "{{.UUID}}"}`, "bench", "--server", nats.URL(), echoMethod, "--data", "-", "--requests", "100")
	require.Equal(t, 0, r.Code, r.Err)
	texts, _ = seen.all()
	assert.Len(t, texts, before+100)
}

func TestTheStrategyAndTheInstanceAreObeyed(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	one, two := serveEcho(t, nats, "one"), serveEcho(t, nats, "two")
	count := func(s *seen, text string) int {
		texts, _ := s.all()
		return texts[text]
	}
	run(t, nats, echoMethod, `{"text": "a"}`, "--requests", "100", "--instance", "two")
	assert.Equal(t, 100, count(two, "a"))
	run(t, nats, echoMethod, `{"text": "b"}`, "--requests", "100", "--strategy", "round-robin", "--callers", "1")
	assert.Equal(t, 50, count(one, "b"))
	untilOneGetsMost(t, func(text string) (int, int) {
		run(t, nats, echoMethod, `{"text": "`+text+`"}`, "--requests", "1000", "--callers", "1", "--key", "k")
		return count(one, text), count(two, text)
	})
	for _, strategy := range []string{"queue-group", "random", "least-loaded"} {
		run(t, nats, echoMethod, `{"text": "d"}`, "--requests", "10", "--strategy", strategy)
	}
}

func TestErrorsAreReportedByCode(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	r := run(t, nats, echoMethod, "--requests", "50")
	assert.Equal(t, int64(50), r.Totals.Errors)
	assert.InDelta(t, 1, r.Totals.ErrorRatio, 0)
	assert.Equal(t, int64(50), r.Totals.Codes["INVALID_ARGUMENT"].Count)
	assert.Contains(t, r.Totals.Codes["INVALID_ARGUMENT"].Example, "the text is empty")
}

func TestLimitsThatAreNotKeptAreExitCode1(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	for _, limit := range []struct {
		args, data string
		code       int
	}{
		{"--max-errors 0.1%", `{"text": "x"}`, 0},
		{"--max-errors 0.1%", `{}`, 1},
		{"--max-errors 1", `{}`, 0},
		{"--max-p99 50s", `{"text": "x"}`, 0},
		{"--max-p99 1ns", `{"text": "x"}`, 1},
		{"--min-rate 0.001", `{"text": "x"}`, 0},
		{"--min-rate 1e9", `{"text": "x"}`, 1},
	} {
		args := append([]string{"bench", "--server", nats.URL(), echoMethod, limit.data, "--requests", "20"}, strings.Fields(limit.args)...)
		r := clitest.Run(t, nil, args...)
		assert.Equal(t, limit.code, r.Code, limit.args)
		assert.Equal(t, limit.code == 1, strings.Contains(r.Out, "NOT HELD"), r.Out)
		assert.Equal(t, limit.code == 1, strings.Contains(r.Err, "a limit was not kept"), r.Err)
	}
}

func TestAReportIsSavedAndComparedWith(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	file := filepath.Join(t.TempDir(), "before.json")
	// Calls count whenever they end, so that a machine that is slow has a rate too.
	common := []string{"bench", "--server", nats.URL(), echoMethod, `{"text": "x"}`, "--warm-up", "0s", "--requests", "60"}
	r := clitest.Run(t, nil, append(common, "--rate", "200", "--save", file)...)
	require.Equal(t, 0, r.Code, r.Err)
	saved, err := report.Read(file)
	require.NoError(t, err)
	assert.Equal(t, int64(60), saved.Totals.Calls)

	r = clitest.Run(t, nil, append(common, "--rate", "400", "--compare", file)...)
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "the loads differ in rate: 200, now 400")
	assert.Regexp(t, `calls/s +\d+ +\d+ +\d\.\d\d `, r.Out)

	r = clitest.Run(t, nil, append(common, "--compare", file+".not")...)
	assert.Equal(t, 1, r.Code)
	assert.Empty(t, r.Out)
	assert.Contains(t, r.Err, "read the earlier report")
}

func TestTheReportFitsTheTerminal(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	for _, locale := range []string{"C", "C.UTF-8"} {
		r := clitest.Run(t, []string{"COLUMNS=40", "LC_ALL=" + locale}, "bench", "--server", nats.URL(), echoMethod, `{"text": "x"}`, "--duration", "300ms")
		require.Equal(t, 0, r.Code, r.Err)
		for line := range strings.Lines(r.Out) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 40, "%q", line)
		}
		assert.Contains(t, r.Out, "p99.9")
		assert.Equal(t, locale == "C.UTF-8", strings.Contains(r.Out, "█"), r.Out)
		assert.NotContains(t, r.Out, "\x1b")
	}
}

func TestCtrlCPrintsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	file := filepath.Join(t.TempDir(), "r.json")
	p := clitest.Start(t, nil, "bench", "--server", nats.URL(), echoMethod, `{"text": "x"}`, "--duration", "1h", "--warm-up", "0s", "--save", file)
	p.Err().Await(t, "calls") // a line of progress
	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code)
	assert.Contains(t, r.Out, "interrupted")
	assert.Contains(t, r.Out, "histogram")
	assert.NotContains(t, r.Out, "errors,")
	saved, err := report.Read(file)
	require.NoError(t, err)
	assert.True(t, saved.Interrupted)
	assert.Positive(t, saved.Totals.Calls)
	assert.Zero(t, saved.Totals.Errors)
}

func TestWrongUseIsToldBeforeAnyCall(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	seen := serveEcho(t, nats, "one")
	servePatterns(t, nats, "all")
	for args, want := range map[string]string{
		"echo":                                                "2 SERVICE/METHOD",
		echoMethod + " {} --data {}":                          "2 twice",
		echoMethod + " --rate -1":                             "2 --rate",
		echoMethod + " --rate 0":                              "2 --rate",
		echoMethod + " --requests 0":                          "2 --requests",
		echoMethod + " --callers 1000000":                     "2 at most",
		echoMethod + " --warm-up -1s":                         "2 --warm-up",
		echoMethod + " --shape ramp":                          "2 needs --rate",
		echoMethod + " --rate 1 --shape ramp":                 "2 needs --peak",
		echoMethod + " --rate 1 --shape rmp":                  "2 did you mean ramp?",
		echoMethod + " --rate 1 --shape xxxxxxxxxxxx":         "2 one of constant",
		echoMethod + " --rate 1 --peak 3":                     "2 has none",
		echoMethod + " --rate 1 --period 3s":                  "2 has none",
		echoMethod + " --rate 9 --shape wave --peak 3":        "2 lowest",
		echoMethod + " --rate 9 --shape stress --peak 3":      "2 goes up",
		echoMethod + " --rate 9 --shape stress --duration 3s": "2 ends by itself",
		echoMethod + " --rate 9 --expected-interval 3s":       "2 closed loops",
		echoMethod + " --max-errors 3":                        "2 percentage",
		echoMethod + " --max-errors x%":                       "2 percentage",
		echoMethod + " -H x":                                  "2 KEY: VALUE",
		echoMethod + " --strategy best":                       "2 round-robin",
		echoMethod + " --strategy sticky:k":                   "2 round-robin",
		echoMethod + " --strategy random --instance x":        "2 give one of them",
		echoMethod + " --await":                               "2 no command",
		echoMethod + ` {"text":"{{.Nn}}"}`:                    "2 {{.N}}",
		echoMethod + ` {"text":"{{"}`:                         "2 {{.N}}",
		echoMethod + ` {"txt":"x"}`:                           "1 did you mean text?",
		echoMethod + ` {"text":{{.N}}}`:                       "1 text",
		echoMethod + ` @/not/there`:                           "1 /not/there",
		"echo.v1.EchoService/Ecko":                            "1 did you mean Echo?",
		"echo.v1.EchoServce/Echo":                             "1 did you mean echo.v1.EchoService?",
		testProto + "StreamService/Sum":                       "1 stream of requests",
		testProto + "BroadcastService/Tell --instance x":      "2 a broadcast",
		testProto + "EventService/Core --strategy random":     "2 an event",
		testProto + "LeaderService/Lead --strategy random":    "2 leader",
	} {
		r := clitest.Run(t, nil, append([]string{"bench", "--server", nats.URL()}, strings.Fields(args)...)...)
		assert.Empty(t, r.Out, args)
		assert.Equal(t, want[:1], strconv.Itoa(r.Code), "%s: %s", args, r.Err)
		assert.Contains(t, r.Err, want[2:], args)
	}
	texts, _ := seen.all()
	assert.Empty(t, texts)
}
