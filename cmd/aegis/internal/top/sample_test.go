package top

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/top/feed"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// noon is the time of the documents.
var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// hostile is a text that would disturb a terminal if it were printed as it is.
var hostile = "<b>\x1b[31m\x1b]0;title\a\r\n\u202eabc\u2066\u200b\x9b2J" + strings.Repeat("x", 300)

func value[T any](v T) *T { return &v }

func header() monitorapi.Header {
	return monitorapi.Header{
		At:      noon,
		NATS:    monitorapi.NATS{Connected: true, Since: noon, Namespace: "shop", Server: "nats-1", Version: "2.15.2", JetStream: true},
		Verdict: monitorapi.Verdict{Level: monitorapi.LevelAttention, Text: "One thing needs attention"},
	}
}

func figures(rate, failing, p50, p99 float64) monitorapi.Figures {
	return monitorapi.Figures{PerSecond: &rate, ErrorPercent: &failing, P50Ms: &p50, P99Ms: &p99}
}

func service(name string, level monitorapi.Level, grade string, score, rate, p99 float64) monitorapi.Service {
	s := monitorapi.Service{
		Name: name, Level: level, Why: "3 running", Grade: grade, Score: &score, Figures: figures(rate, 0.31, 0.4, p99), Instances: 3, Running: 3,
	}
	for n := range 60 {
		s.Hour = append(s.Hour, value(float64(n)))
	}
	return s
}

func sampleOverview() *monitorapi.Overview {
	slow := service("ledger.v1.LedgerService", monitorapi.LevelAttention, "C", 61, 1204, 212)
	slow.Running, slow.Why = 2, "2 of 3 well"
	order := service("order.v1.OrderService", monitorapi.LevelOK, "A+", 99, 3910, 5.8)
	order.Leaders = []monitorapi.LeaderName{{Group: "default", Instance: "order-2", State: monitorapi.LeaderLeads}}
	price := service("price.v1.PriceService", monitorapi.LevelCritical, "", 0, 0, 0)
	price.Score, price.Figures, price.Hour = nil, monitorapi.Figures{}, make([]*float64, 60)
	price.Leaders = []monitorapi.LeaderName{{Group: "default", State: monitorapi.LeaderNone}}
	return &monitorapi.Overview{
		Header: header(),
		Totals: monitorapi.Totals{
			Services: 3, Instances: 9, Leaders: 2, Figures: figures(12480, 0.02, 0.4, 6.1), DeadLetters: value(41), LeaderlessSeconds: 0.19, Gaps: 1,
		},
		Findings: []monitorapi.Finding{{
			Level: monitorapi.LevelAttention, What: "ledger-3 is slow", Detail: "p99 212 ms where its peers have 9 ms", Since: noon.Add(-3 * time.Minute),
		}},
		Services: []monitorapi.Service{price, slow, order},
	}
}

// sampleLeader leads with two reigns and a gap of a second between them.
func sampleLeader() monitorapi.Leadership {
	from, cut, after := noon.Add(-time.Hour), noon.Add(-30*time.Minute), noon.Add(-30*time.Minute+time.Second)
	return monitorapi.Leadership{
		Service: "order.v1.OrderService", Group: "default", State: monitorapi.LeaderLeads, Instance: "order-2", Term: 1795451715343666,
		Since: &after, From: from, To: noon, LeaderlessSeconds: 1,
		Candidates: []monitorapi.Candidate{{Instance: "order-2", Leads: true, Stands: true}, {Instance: "order-3", Stands: true}},
		Reigns:     []monitorapi.Reign{{Instance: "order-1", From: from, To: &cut}, {Instance: "order-2", From: after}},
		Gaps:       []monitorapi.Gap{{From: cut, To: &after, Seconds: 1, Cause: "lost", Before: "order-1", After: "order-2", Exact: true}},
	}
}

func sampleDetail(instances int) *monitorapi.ServiceDetail {
	d := &monitorapi.ServiceDetail{
		Header: header(), Service: service("order.v1.OrderService", monitorapi.LevelOK, "A+", 99, 3910, 5.8), Found: true,
		Findings: []monitorapi.Finding{{Level: monitorapi.LevelAttention, What: "order-3 is slow", Since: noon.Add(-time.Minute)}},
		Leaders:  []monitorapi.Leadership{sampleLeader()},
		Methods: []monitorapi.Method{
			{Name: "Cancel", Pattern: "any", Instances: 3, Figures: figures(10, 5, 1, 2), Codes: map[string]uint64{"NOT_FOUND": 2, "INTERNAL": 7}},
			{Name: "PlaceOrder", Pattern: "single active", Instances: 3, Figures: figures(3900, 0, 0.4, 5.8)},
		},
	}
	for n := range instances {
		d.Instances = append(d.Instances, monitorapi.Instance{
			Service: "order.v1.OrderService", Name: fmt.Sprintf("order-%d", n+1), Process: fmt.Sprintf("P%d", n), Version: "1.4.0", State: "RUNNING",
			Level: monitorapi.LevelOK, Started: noon.Add(-time.Duration(n+1) * time.Minute), Grade: "A+", Score: value(99.0),
			MemoryBytes: value(uint64(n) << 20), CPUPercent: value(1.5), Figures: figures(float64(100-n%100), 0, 0.4, float64(n%50)),
		})
	}
	return d
}

func sampleWork() *monitorapi.Work {
	oldest := noon.Add(-4 * time.Second)
	return &monitorapi.Work{
		Header: header(),
		Queues: []monitorapi.Queue{
			{Service: "order.v1.OrderService", Method: "Reconcile", Level: monitorapi.LevelAttention, Waiting: 1204, Running: 48, Retrying: 2, Oldest: &oldest},
		},
		Subscriptions: []monitorapi.Subscription{
			{Service: "order.v1.OrderService", Method: "OrderPlaced", Group: "risk", Level: monitorapi.LevelOK, Lag: 12, Waiting: 1},
		},
		DeadLetters: []monitorapi.LetterGroup{
			{Service: "order.v1.OrderService", Method: "Reconcile", Reason: "FAILED_PRECONDITION: book is closed", Count: 38, First: noon, Last: noon},
		},
	}
}

func sampleActivity() *monitorapi.Activity {
	return &monitorapi.Activity{Header: header(), Events: []monitorapi.Event{
		{ID: 2, At: noon, Kind: monitorapi.EventLeader, Level: monitorapi.LevelOK, Service: "order.v1.OrderService", Instance: "order-2", Text: "leads default"},
		{ID: 1, At: noon.Add(-time.Minute), Kind: monitorapi.EventExpired, Level: monitorapi.LevelCritical, Service: "price.v1.PriceService", Text: "price-1 is gone"},
	}}
}

// user drives a model as the terminal does.
type user struct {
	*testing.T
	m      *model
	opened []string // the documents that were asked for
	closed int
	quit   bool
	at     time.Time
}

func newUser(t *testing.T, service string) *user {
	t.Helper()
	u := &user{T: t, at: noon}
	nothing := make(chan feed.Event)
	close(nothing)
	u.m = newModel(func(path string) (<-chan feed.Event, func()) {
		u.opened = append(u.opened, path)
		return nothing, func() { u.closed++ }
	}, cli.Style{}, service)
	u.m.now = func() time.Time { return u.at }
	u.m.Init()
	u.size(120, 40)
	return u
}

func (u *user) size(width, height int) { u.send(tea.WindowSizeMsg{Width: width, Height: height}) }

func (u *user) send(msg tea.Msg) {
	_, cmd := u.m.Update(msg)
	if cmd == nil {
		return
	}
	if _, quits := cmd().(tea.QuitMsg); quits {
		u.quit = true
	}
}

// doc has a document come from the monitor.
func (u *user) doc(document any) {
	u.Helper()
	data, err := json.Marshal(document)
	require.NoError(u, err)
	u.send(fed{serial: u.m.stream.serial, event: feed.Event{Document: data}})
}

// press presses keys; names of more than a letter are of special keys.
func (u *user) press(keys ...string) {
	special := map[string]tea.Key{
		"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "tab": {Code: tea.KeyTab}, "down": {Code: tea.KeyDown}, "up": {Code: tea.KeyUp},
		"pgdown": {Code: tea.KeyPgDown}, "pgup": {Code: tea.KeyPgUp}, "backspace": {Code: tea.KeyBackspace}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl},
		"ctrl+u": {Code: 'u', Mod: tea.ModCtrl},
	}
	for _, k := range keys {
		if key, ok := special[k]; ok {
			u.send(tea.KeyPressMsg(key))
			continue
		}
		for _, r := range k {
			u.send(tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
}

// screen returns what is on the screen. It checks that it fits, and cannot disturb a terminal.
func (u *user) screen() string {
	u.Helper()
	v := u.m.View()
	require.True(u, v.AltScreen)
	lines := strings.Split(v.Content, "\n")
	require.Len(u, lines, u.m.height)
	for _, line := range lines {
		bare := ansi.Strip(line)
		require.LessOrEqual(u, ansi.StringWidth(bare), u.m.width, "%q", line)
		require.Equal(u, cli.Clean(bare), bare)
	}
	return ansi.Strip(v.Content)
}

// row returns the line of the screen that has a text.
func (u *user) row(text string) string {
	u.Helper()
	for line := range strings.Lines(u.screen()) {
		if strings.Contains(line, text) {
			return strings.TrimRight(line, "\n")
		}
	}
	require.Fail(u, "no such line", "%s in\n%s", text, u.screen())
	return ""
}

// order returns in which order texts are on the screen.
func (u *user) order(texts ...string) []string {
	u.Helper()
	var found []string
	for line := range strings.Lines(u.screen()) {
		for _, text := range texts {
			if strings.Contains(line, text) {
				found = append(found, text)
			}
		}
	}
	return found
}
