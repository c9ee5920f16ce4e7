package top

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/top/feed"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

const (
	ledgers = "ledger.v1.LedgerService"
	orders  = "order.v1.OrderService"
	prices  = "price.v1.PriceService"
)

func TestOverviewShowsTheServices(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	assert.Contains(t, u.screen(), "Waiting for the monitor")
	assert.Contains(t, u.screen(), "Services …")
	u.size(160, 40)
	u.doc(sampleOverview())
	screen := u.screen()
	for _, text := range []string{
		"shop", "NATS 2.15.2 nats-1", "● ", "0s old", "▲ One thing needs attention", "12,480 calls/s", "41 dead letters",
		"1 gap, 0.19 s without a leader", "▲ ledger-3 is slow  p99 212 ms where its peers have 9 ms", "3m0s", "Services 3 worst first",
	} {
		assert.Contains(t, screen, text)
	}
	assert.Equal(t, []string{prices, ledgers, orders}, u.order(ledgers, orders, prices))
	row := strings.Fields(u.row(orders + " "))
	assert.Equal(t, []string{orders, "●", "ok", "A+", "99", "3,910", "0.31", "0.40", "5.80", "3", "order-2", "▂▃▃▃▃▄▄▄▅▅▅▆▆▆▆▇▇▇██", "3", "running"}, row)
	row = strings.Fields(u.row(prices))
	assert.Equal(t, []string{"▸", prices, "✕", "critical", "–", "–", "–", "–", "–", "–", "3", "✕", "none", "3", "running"}, row)
	assert.Contains(t, u.row(ledgers), "2/3")
	assert.Equal(t, []string{"overview"}, u.opened)
}

func TestRowsAreSorted(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	three := func() []string { return u.order(ledgers+" ", orders+" ", prices+" ") }
	u.press("C")
	assert.Equal(t, []string{orders + " ", ledgers + " ", prices + " "}, three(), "unknown is last")
	assert.Contains(t, u.screen(), "CALLS/S↓")
	assert.Contains(t, u.screen(), "by calls/s ↓")
	u.press("C")
	assert.Equal(t, []string{ledgers + " ", orders + " ", prices + " "}, three(), "unknown is last")
	assert.Contains(t, u.screen(), "CALLS/S↑")
	u.press("N")
	assert.Equal(t, []string{ledgers + " ", orders + " ", prices + " "}, three())
	assert.Contains(t, u.screen(), "SERVICE↑")
	u.press("r")
	assert.Equal(t, []string{prices + " ", orders + " ", ledgers + " "}, three())
	u.press("s") // the next column is the state
	assert.Equal(t, []string{prices + " ", ledgers + " ", orders + " "}, three())
	assert.Contains(t, u.screen(), "STATE↓")
	for range 8 {
		u.press("s")
	}
	assert.Contains(t, u.screen(), "worst first", "after the last column comes the order of the document")
}

func TestCursorStaysAtItsRow(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	assert.Contains(t, u.row("▸"), prices)
	u.press("j")
	assert.Contains(t, u.row("▸"), ledgers)
	u.press("N")
	assert.Contains(t, u.row("▸"), ledgers)
	doc := sampleOverview()
	doc.Services = doc.Services[1:]
	doc.Services[0], doc.Services[1] = doc.Services[1], doc.Services[0]
	u.doc(doc)
	assert.Contains(t, u.row("▸"), ledgers)
	u.press("G")
	assert.Contains(t, u.row("▸"), orders)
	u.press("g", "up", "k")
	assert.Contains(t, u.row("▸"), ledgers)
	doc.Services = nil
	u.doc(doc)
	assert.Contains(t, u.screen(), "No service runs here")
	u.press("j", "k", "G", "g", "enter", "pgdown", "pgup")
	assert.Equal(t, []string{"overview"}, u.opened)
}

func TestFilter(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	u.press("/", "LEDGER")
	assert.Equal(t, []string{ledgers + " "}, u.order(ledgers+" ", orders+" ", prices+" "), "while one types")
	assert.Contains(t, u.screen(), "/LEDGER_")
	u.press("enter")
	assert.Contains(t, u.screen(), "Services 1 of 3")
	u.press("/", "q", "enter")
	assert.Contains(t, u.screen(), "nothing has LEDGERq")
	assert.False(t, u.quit)
	u.press("/", "backspace", "enter")
	assert.Contains(t, u.screen(), "Services 1 of 3")
	u.press("esc")
	assert.Contains(t, u.screen(), "Services 3")
	u.press("/", "x", "esc")
	assert.Contains(t, u.screen(), "Services 3")
	u.press("/", strings.Repeat("y", 1000), "ctrl+u", "backspace", "backspace")
	assert.Contains(t, u.screen(), "q quit")
}

func TestDetailsOfAService(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.size(160, 40)
	u.doc(sampleOverview())
	u.press("G", "enter")
	require.Equal(t, []string{"overview", "services/" + orders}, u.opened)
	assert.Equal(t, 1, u.closed)
	u.doc(sampleDetail(3))
	screen := u.screen()
	for _, text := range []string{
		orders + "  ● ok  3 running", "▲ order-3 is slow", "● order-2", "1 gap, 1.00 s in all: 1.00 s at ", "(lost)",
		"Instances 3 by name", "▸ order-1", "Methods 2 by name", "INTERNAL 7, NOT_FOUND 2",
	} {
		assert.Contains(t, screen, text)
	}
	strip := u.row("● order-2")
	assert.Regexp(t, `█{40,}✕{1,2}▒{40,}`, strip, "two reigns, and a gap in the middle")
	u.press("tab", "E")
	assert.Contains(t, u.row("▸"), "Cancel")
	u.size(120, 16)
	assert.Contains(t, u.screen(), "[Methods 2]")
	assert.NotContains(t, u.screen(), "▸ order-1")
	u.press("tab")
	assert.Contains(t, u.screen(), "[Instances 3]")
	u.press("enter", "esc")
	assert.Equal(t, []string{"overview", "services/" + orders, "overview"}, u.opened)
	assert.Contains(t, u.screen(), "Services 3")
	assert.Contains(t, u.row("▸"), orders)
}

func TestDetailsOfAnInstance(t *testing.T) {
	t.Parallel()
	u := newUser(t, orders)
	doc := sampleDetail(2)
	u.doc(doc)
	assert.NotContains(t, u.screen(), "order-1: ", "no instance says anything of itself")

	doc.Instances[1].Origin = monitorapi.Origin{
		Zone: "eu-1a", Node: "laptop", Build: "v9", Labels: map[string]string{"developer": "anna", "branch": "fix"}, Reserved: true,
	}
	doc.Service.Reserved = 1
	u.doc(doc)
	assert.Contains(t, u.screen(), "order-1: –")
	assert.Regexp(t, "order-2 .* reserved ", u.row("  order-2  "))
	u.press("j")
	assert.Contains(t, u.screen(), "order-2: reserved · zone eu-1a · node laptop · build v9 · branch=fix · developer=anna")
	u.size(280, 40)
	assert.Contains(t, u.row("▸"), "reserved · zone eu-1a · node")
	u.press("/", "developer=anna", "enter")
	assert.Contains(t, u.screen(), "Instances 1 of 2")
}

func TestServiceOfTheCommandLine(t *testing.T) {
	t.Parallel()
	u := newUser(t, "a/b")
	assert.Equal(t, []string{"services/a%2Fb"}, u.opened)
	u.doc(&monitorapi.ServiceDetail{Header: header()})
	assert.Contains(t, u.screen(), "No service is called a/b")
	u.press("esc")
	assert.Equal(t, []string{"services/a%2Fb", "overview"}, u.opened)
}

func TestViews(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.size(160, 40)
	u.doc(sampleOverview())
	u.press("2")
	u.doc(&monitorapi.Leaders{Header: header(), Leaders: []monitorapi.Leadership{sampleLeader()}})
	assert.Contains(t, u.row(orders), "order-2")
	assert.Regexp(t, `█+✕▒+`, u.row(orders))
	u.press("3")
	u.doc(sampleWork())
	assert.Regexp(t, `Reconcile +▲ attention +1,204 +48 +2 +0 +4s`, u.row(orders))
	u.press("4")
	assert.Regexp(t, `OrderPlaced +risk +● ok +12`, u.row(orders), "of the document that is there")
	u.press("5")
	assert.Regexp(t, `38 .* FAILED_PRECONDITION: book is closed`, u.row(orders))
	u.press("6")
	u.doc(sampleActivity())
	assert.Equal(t, []string{"leads default", "price-1 is gone"}, u.order("leads default", "price-1 is gone"))
	assert.Equal(t, []string{"overview", "leaders", "work", "activity"}, u.opened)
	u.press("enter")
	assert.Equal(t, "services/"+orders, u.opened[4])
	u.press("1")
	assert.Equal(t, "overview", u.opened[5])
	u.press("7", "0", "9")
	assert.Len(t, u.opened, 6)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	u.press(":", "lead", "tab")
	assert.Contains(t, u.screen(), ":leaders_")
	u.press("enter")
	u.press(":", "order", "tab", "enter")
	assert.Equal(t, []string{"overview", "leaders", "services/" + orders}, u.opened)
	u.press(":", "servises", "enter")
	assert.Contains(t, u.screen(), "no view and no service is called servises; did you mean services?")
	u.press(":", "enter", ":", "help", "enter")
	assert.Contains(t, u.screen(), "this help")
	u.press("esc", ":", "q")
	assert.False(t, u.quit)
	u.press("enter")
	assert.True(t, u.quit)
}

func TestHelpAndQuit(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	u.size(80, 24)
	u.press("?")
	for _, text := range []string{"N service", "E err %", "sort by the next column", "Ctrl-C", "6 activity"} {
		assert.Contains(t, u.screen(), text)
	}
	u.press("?")
	assert.Contains(t, u.screen(), orders)
	u.press("q")
	assert.True(t, u.quit)
	assert.False(t, u.m.interrupted)
	u = newUser(t, "")
	u.press("/", "ctrl+c")
	assert.True(t, u.quit)
	assert.True(t, u.m.interrupted)
}

func TestOldData(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.m.style = cli.Style{On: true}
	u.doc(sampleOverview())
	u.at = u.at.Add(2 * time.Second)
	assert.Contains(t, u.screen(), "●     2s old")
	u.send(fed{serial: u.m.stream.serial})
	assert.Contains(t, u.screen(), "●     0s old", "nothing has changed")
	coloured := func(text string) string {
		for line := range strings.Lines(u.m.View().Content) {
			if strings.Contains(line, text) {
				return line
			}
		}
		return ""
	}
	assert.Contains(t, coloured(ledgers+" "), "\x1b[33m", "amber")
	u.send(fed{serial: u.m.stream.serial, event: feed.Event{Err: errors.New("dial " + hostile)}})
	u.at = u.at.Add(40 * time.Second)
	u.send(tick{})
	assert.Contains(t, u.screen(), "✕    40s old")
	assert.Contains(t, u.screen(), "The monitor is not heard since")
	assert.NotContains(t, coloured(ledgers+" "), "\x1b[33m", "grey")
	u.doc(sampleOverview())
	assert.Contains(t, u.screen(), "●     0s old")

	lost := sampleOverview()
	lost.NATS.Connected, lost.NATS.Since = false, noon.Add(-40*time.Second)
	lost.Verdict = monitorapi.Verdict{Level: monitorapi.LevelCritical, Text: "Not connected to NATS"}
	u.doc(lost)
	u.send(fed{serial: u.m.stream.serial})
	assert.Contains(t, u.screen(), "✕    40s old")
	assert.Contains(t, u.screen(), "✕ Not connected to NATS")
	assert.NotContains(t, coloured(ledgers+" "), "\x1b[33m", "grey")
}

func TestDocumentsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	for _, garbage := range []string{"", "null garbage", `{"services": 1}`, "\x00", "[]"} {
		u.send(fed{serial: u.m.stream.serial, event: feed.Event{Document: []byte(garbage + " ")}})
		assert.Contains(t, u.screen(), "cannot be read", garbage)
		assert.Contains(t, u.screen(), orders, "the last one stays")
	}
	u.doc(map[string]any{})
	assert.Contains(t, u.screen(), "not connected to NATS")
	u.send(fed{serial: u.m.stream.serial - 1, event: feed.Event{Document: []byte("of the page before")}})
	assert.NotContains(t, u.screen(), "cannot be read")
}

func TestAnswerThatStaysEndsTheView(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	wrong := &feed.StatusError{Status: 401, Problem: monitorapi.Problem{Detail: "the token is wrong"}}
	u.send(fed{serial: u.m.stream.serial, event: feed.Event{Err: errors.New("down")}})
	assert.False(t, u.quit)
	u.send(fed{serial: u.m.stream.serial, event: feed.Event{Err: wrong}})
	assert.True(t, u.quit)
	require.ErrorIs(t, u.m.failed, wrong)
	u = newUser(t, "")
	u.doc(sampleOverview())
	u.send(fed{serial: u.m.stream.serial, event: feed.Event{Err: wrong}})
	assert.False(t, u.quit, "something was seen")
	assert.Contains(t, u.screen(), "✕ the monitor answers with status 401: the token is wrong")
}

func TestHostileValues(t *testing.T) {
	t.Parallel()
	o := sampleOverview()
	o.Verdict.Text, o.NATS.Namespace, o.NATS.Server = hostile, hostile, hostile
	o.Findings[0].What, o.Findings[0].Detail = hostile, hostile
	o.Sources = []monitorapi.Source{{Name: monitorapi.SourceName(hostile), State: monitorapi.SourceDenied, Problem: hostile}}
	for i := range o.Services {
		s := &o.Services[i]
		s.Name, s.Level, s.Grade, s.Why = hostile, monitorapi.Level(hostile), hostile, "عربي \u6f22\u5b57👩‍👩‍👧 e\u0301\u0301\u0301"+hostile
		s.Figures = figures(1e300, -1, 1e-300, 1e18)
		s.Score, s.Hour = value(-5.0), []*float64{value(1e308), value(-1e308)}
		s.Leaders = []monitorapi.LeaderName{{Group: hostile, Instance: hostile, State: monitorapi.LeaderLeads}}
	}
	d := sampleDetail(2)
	d.Service, d.Description = o.Services[0], hostile
	d.Findings = o.Findings
	d.Instances[0].Name, d.Instances[0].State, d.Instances[0].Why, d.Instances[0].Version = hostile, hostile, hostile, hostile
	d.Instances[0].Origin = monitorapi.Origin{Zone: hostile, Node: hostile, Build: hostile, Labels: map[string]string{hostile: hostile}, Reserved: true}
	d.Methods[0].Name, d.Methods[0].Pattern, d.Methods[0].Codes = hostile, hostile, map[string]uint64{hostile: 1 << 63}
	d.Leaders[0].Group, d.Leaders[0].Instance, d.Leaders[0].State = hostile, hostile, monitorapi.LeaderState(hostile)
	d.Leaders[0].Gaps[0].Cause, d.Leaders[0].Gaps[0].Seconds = hostile, 1e300
	d.Leaders[0].Gaps[0].From, d.Leaders[0].Reigns[0].From = time.Time{}, noon.Add(1e6*time.Hour)
	w := sampleWork()
	w.Queues[0].Method, w.Subscriptions[0].Group, w.DeadLetters[0].Reason = hostile, hostile, hostile
	a := sampleActivity()
	a.Events[0].Text, a.Events[0].Kind = hostile, monitorapi.EventKind(hostile)
	for _, size := range [][2]int{{200, 60}, {120, 40}, {80, 24}, {60, 20}, {40, 10}, {20, 5}, {10, 3}, {3, 1}, {1, 1}} {
		u := newUser(t, "")
		for _, style := range []cli.Style{{}, {On: true}} {
			u.m.style = style
			u.size(size[0], size[1])
			u.press("1")
			u.doc(o)
			u.screen()
			u.press("enter")
			u.doc(d)
			u.screen()
			u.press("tab")
			u.screen()
			u.press("2")
			u.doc(&monitorapi.Leaders{Header: o.Header, Leaders: d.Leaders})
			u.screen()
			for _, view := range []string{"3", "4", "5"} {
				u.press(view)
				u.doc(w)
				u.screen()
			}
			u.press("6")
			u.doc(a)
			u.screen()
			u.press("?")
			u.screen()
			u.press(":", "\u202e\u200b\u6f22", "enter")
			u.screen()
			u.press("?", "esc")
		}
	}
}

// What cannot be seen is not told to be absent.
func TestWhatIsNotSeen(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]monitorapi.Source{
		"not read yet":               {State: monitorapi.SourceLoading},
		"denied: allow $JS.API.INFO": {State: monitorapi.SourceDenied, Problem: "allow $JS.API.INFO"},
		"there is no JetStream":      {State: monitorapi.SourceAbsent},
		"failed":                     {State: monitorapi.SourceFailed},
		"No group has a leader":      {State: monitorapi.SourceReady},
	} {
		u := newUser(t, "")
		u.press("2")
		s.Name = monitorapi.SourceLeaders
		h := header()
		h.Sources = []monitorapi.Source{{Name: monitorapi.SourceWork, State: monitorapi.SourceFailed}, s}
		u.doc(&monitorapi.Leaders{Header: h})
		assert.Contains(t, u.row("  "+want), want)
	}
}

// Narrow terminals do without columns, and keep name, state and rate.
func TestColumnsOfNarrowTerminals(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	for width, titles := range map[int][]string{
		60:  {"SERVICE", "STATE", "CALLS/S", "P99", "MS"},
		80:  {"SERVICE", "STATE", "CALLS/S", "ERR", "%", "P99", "MS", "INST"},
		100: {"SERVICE", "STATE", "GRADE", "CALLS/S", "ERR", "%", "P50", "MS", "P99", "MS", "INST"},
		200: {"SERVICE", "STATE", "GRADE", "SCORE", "CALLS/S", "ERR", "%", "P50", "MS", "P99", "MS", "INST", "LEADER", "LAST", "HOUR", "WHY"},
	} {
		u.size(width, 24)
		assert.Equal(t, titles, strings.Fields(u.row("SERVICE")), width)
	}
}

// Figures that change leave every column where it is.
func TestColumnsDoNotMove(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	u.doc(sampleOverview())
	titles := u.row("SERVICE")
	for _, n := range []float64{0, 0.001, 7, 99.5, 12345, 1e9, 1e15, 1e300} {
		o := sampleOverview()
		for i := range o.Services {
			o.Services[i].Figures = figures(n, n, n, n)
		}
		u.doc(o)
		assert.Equal(t, titles, u.row("SERVICE"))
		row := []rune(u.row(orders + " "))
		end := strings.Index(titles, "P99 MS") + len("P99 MS")
		assert.NotEqual(t, ' ', row[end-1], "%v ends below the title", n)
		assert.Equal(t, ' ', row[end])
	}
}

func BenchmarkView(b *testing.B) {
	u := newUser(&testing.T{}, "order.v1.OrderService")
	u.doc(sampleDetail(1000))
	u.press("P")
	b.Run("view", func(b *testing.B) {
		for b.Loop() {
			_ = u.m.View()
		}
	})
	b.Run("document", func(b *testing.B) {
		for b.Loop() {
			u.m.take(u.m.stream.last)
		}
	})
}
