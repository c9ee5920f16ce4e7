package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/leaktest"
	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/metrics"
)

func TestMain(m *testing.M) { leaktest.Run(m) }

var at = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// documents are those of a board, as a test wants them.
type documents struct {
	header   monitorapi.Header
	overview monitorapi.Overview
	details  map[string]*monitorapi.ServiceDetail
	leaders  monitorapi.Leaders
	work     monitorapi.Work
	gaps     []board.GapTotal
}

func (d *documents) Overview(time.Time) *monitorapi.Overview {
	o := d.overview
	o.Header = d.header
	return &o
}

func (d *documents) Service(_ time.Time, service string) *monitorapi.ServiceDetail {
	return d.details[service]
}

func (d *documents) Leaders(time.Time) *monitorapi.Leaders {
	l := d.leaders
	l.Header = d.header
	return &l
}

func (d *documents) Work(time.Time) *monitorapi.Work {
	w := d.work
	w.Header = d.header
	return &w
}

func (d *documents) GapsTotal(time.Time) []board.GapTotal { return d.gaps }

func ago(d time.Duration) *time.Time {
	t := at.Add(-d)
	return &t
}

func header(state monitorapi.SourceState) monitorapi.Header {
	h := monitorapi.Header{At: at, NATS: monitorapi.NATS{Connected: true}}
	for _, name := range []monitorapi.SourceName{
		monitorapi.SourceInstances, monitorapi.SourceFigures, monitorapi.SourceLeaders, monitorapi.SourceWork, monitorapi.SourceDeadLetters,
	} {
		h.Sources = append(h.Sources, monitorapi.Source{Name: name, State: state, At: ago(3 * time.Second)})
	}
	return h
}

func full() *documents {
	limit := int64(1000)
	return &documents{
		header: header(monitorapi.SourceReady),
		overview: monitorapi.Overview{
			Services: []monitorapi.Service{{Name: "shop.v1.S"}},
			Findings: []monitorapi.Finding{{Level: monitorapi.LevelCritical}, {Level: monitorapi.LevelCritical}},
		},
		details: map[string]*monitorapi.ServiceDetail{"shop.v1.S": {Instances: []monitorapi.Instance{
			{Name: "a", State: "RUNNING"},
			{Name: "b", State: "RUNNING", Unhealthy: true},
			{Name: "c", State: "STOPPING"},
			{Name: "d", State: "RUNNING", Subscriber: true, Unhealthy: true},
			{Name: "e", State: "RUNNING", Unhealthy: true, Origin: monitorapi.Origin{Reserved: true}},
		}}},
		leaders: monitorapi.Leaders{Leaders: []monitorapi.Leadership{
			{Service: "shop.v1.S", Group: "g", State: monitorapi.LeaderLeads, Term: 3},
			{Service: "shop.v1.S", Group: "gone", State: monitorapi.LeaderGone, Term: 5},
			{Service: "shop.v1.S", Group: "none", State: monitorapi.LeaderNone, Term: 6},
			{Service: "shop.v1.S", Group: "silent", State: monitorapi.LeaderSilent, Term: 4},
		}},
		gaps: []board.GapTotal{{Service: "shop.v1.S", Group: "g", Gaps: 2, Seconds: 1.5}},
		work: monitorapi.Work{
			Queues: []monitorapi.Queue{
				{
					Service: "shop.v1.S", Method: "Pack", Scheduled: 1, Waiting: 7, Running: 3, Retrying: 4, Oldest: ago(90 * time.Second),
					Priorities: []monitorapi.QueuePriority{{Priority: "high", Waiting: 2, UnderWay: 1}, {Priority: "normal", Waiting: 5, UnderWay: 6}},
				},
				{Service: "shop.v1.S", Method: "Idle", Oldest: nil},
				{Service: "shop.v1.S", Method: "Ahead", Oldest: ago(-time.Minute)},
			},
			Subscriptions: []monitorapi.Subscription{
				{Service: "shop.v1.S", Method: "Sold", Group: "billing", Lag: 12, Pending: 3, Redelivered: 1},
				{Service: "shop.v1.S", Method: "Sold", Instance: "a", Lag: 2},
			},
			Streams: []monitorapi.Stream{
				{Service: "shop.v1.S", Kind: "commands", Name: "aegis-commands-shop-v1-S", Messages: 9, Bytes: 900, MaxBytes: &limit, Refuses: true},
				{Service: "shop.v1.S", Kind: "events", Name: "aegis-events-shop-v1-S", Messages: 8, Bytes: 80},
			},
			DeadLetters: []monitorapi.LetterGroup{
				{Service: "shop.v1.S", Method: "Pack", Reason: "a", Count: 3},
				{Service: "shop.v1.S", Method: "Pack", Reason: "b", Count: 4},
				{Service: "shop.v1.S", Method: "Sold", Consumer: "billing", Reason: "a", Count: 1},
			},
		},
	}
}

func registry(t *testing.T, d metrics.Documents) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(metrics.NewCollector(d, func() int { return 6 })))
	return r
}

const want = `
aegis_commands_oldest_age_seconds{method="Ahead",service="shop.v1.S"} 0
aegis_commands_oldest_age_seconds{method="Pack",service="shop.v1.S"} 90
aegis_commands_waiting{method="Pack",priority="high",service="shop.v1.S"} 2
aegis_commands_waiting{method="Pack",priority="normal",service="shop.v1.S"} 5
aegis_commands{method="Ahead",service="shop.v1.S",state="RETRYING"} 0
aegis_commands{method="Ahead",service="shop.v1.S",state="RUNNING"} 0
aegis_commands{method="Ahead",service="shop.v1.S",state="SCHEDULED"} 0
aegis_commands{method="Ahead",service="shop.v1.S",state="WAITING"} 0
aegis_commands{method="Idle",service="shop.v1.S",state="RETRYING"} 0
aegis_commands{method="Idle",service="shop.v1.S",state="RUNNING"} 0
aegis_commands{method="Idle",service="shop.v1.S",state="SCHEDULED"} 0
aegis_commands{method="Idle",service="shop.v1.S",state="WAITING"} 0
aegis_commands{method="Pack",service="shop.v1.S",state="RETRYING"} 4
aegis_commands{method="Pack",service="shop.v1.S",state="RUNNING"} 3
aegis_commands{method="Pack",service="shop.v1.S",state="SCHEDULED"} 1
aegis_commands{method="Pack",service="shop.v1.S",state="WAITING"} 7
aegis_dead_letters{method="Pack",service="shop.v1.S"} 7
aegis_dead_letters{method="Sold",service="shop.v1.S"} 1
aegis_events_lag{aegis_instance="",group="billing",method="Sold",service="shop.v1.S"} 12
aegis_events_lag{aegis_instance="a",group="",method="Sold",service="shop.v1.S"} 2
aegis_events_pending{aegis_instance="",group="billing",method="Sold",service="shop.v1.S"} 3
aegis_events_pending{aegis_instance="a",group="",method="Sold",service="shop.v1.S"} 0
aegis_events_redelivered{aegis_instance="",group="billing",method="Sold",service="shop.v1.S"} 1
aegis_events_redelivered{aegis_instance="a",group="",method="Sold",service="shop.v1.S"} 0
aegis_findings{level="attention"} 0
aegis_findings{level="critical"} 2
aegis_instances_unhealthy{service="shop.v1.S"} 1
aegis_instances{service="shop.v1.S",state="RUNNING"} 2
aegis_instances{service="shop.v1.S",state="STARTING"} 0
aegis_instances{service="shop.v1.S",state="STOPPING"} 1
aegis_leader_gap_seconds_total{group="g",service="shop.v1.S"} 1.5
aegis_leader_gaps_total{group="g",service="shop.v1.S"} 2
aegis_leader_term{group="g",service="shop.v1.S"} 3
aegis_leader_term{group="gone",service="shop.v1.S"} 5
aegis_leader_term{group="none",service="shop.v1.S"} 6
aegis_leader_term{group="silent",service="shop.v1.S"} 4
aegis_leader{group="g",service="shop.v1.S"} 1
aegis_leader{group="gone",service="shop.v1.S"} 0
aegis_leader{group="none",service="shop.v1.S"} 0
aegis_leader{group="silent",service="shop.v1.S"} 0
aegis_monitor_connected 1
aegis_monitor_series_left_out 0
aegis_monitor_streams 6
aegis_stream_bytes{kind="commands",service="shop.v1.S",stream="aegis-commands-shop-v1-S"} 900
aegis_stream_bytes{kind="events",service="shop.v1.S",stream="aegis-events-shop-v1-S"} 80
aegis_stream_max_bytes{kind="commands",service="shop.v1.S",stream="aegis-commands-shop-v1-S"} 1000
aegis_stream_messages{kind="commands",service="shop.v1.S",stream="aegis-commands-shop-v1-S"} 9
aegis_stream_messages{kind="events",service="shop.v1.S",stream="aegis-events-shop-v1-S"} 8
aegis_stream_refuses{kind="commands",service="shop.v1.S",stream="aegis-commands-shop-v1-S"} 1
aegis_stream_refuses{kind="events",service="shop.v1.S",stream="aegis-events-shop-v1-S"} 0
`

// scrape returns the lines of the monitor's own metrics, without those of sources.
func scrape(t *testing.T, d metrics.Documents) (lines, sources []string) {
	t.Helper()
	out := httptest.NewRecorder()
	metrics.Handler(d, func() int { return 6 }).ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, out.Code)
	process := false
	for line := range strings.Lines(out.Body.String()) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "aegis_monitor_source_"):
			sources = append(sources, line)
		case strings.HasPrefix(line, "aegis_"):
			lines = append(lines, line)
		case strings.HasPrefix(line, "go_goroutines "):
			process = true
		}
	}
	require.True(t, process, "the process of the monitor has its own")
	return lines, sources
}

func TestWhatPrometheusGets(t *testing.T) {
	t.Parallel()
	lines, sources := scrape(t, full())
	require.ElementsMatch(t, strings.Split(strings.TrimSpace(want), "\n"), lines)
	require.Contains(t, sources, `aegis_monitor_source_state{source="work",state="ready"} 1`)
	require.Contains(t, sources, `aegis_monitor_source_state{source="work",state="denied"} 0`)
	require.Contains(t, sources, `aegis_monitor_source_age_seconds{source="work"} 3`)
	require.Len(t, sources, 5*5+5)
	problems, err := testutil.GatherAndLint(registry(t, full()))
	require.NoError(t, err)
	require.Empty(t, problems)
}

// The table of docs/observability.md has each metric, with its type and labels, and no other.
func TestTheTableOfTheMetrics(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../../../docs/observability.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(docs), "| metric of the monitor | type | labels |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("\n\\| `(\\w+)` \\| (\\w+)[^|]* \\|([^|]*)\\|").FindAllStringSubmatch(table, -1) {
		labels := regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(row[3], "")
		documented[row[1]] = row[2] + strings.NewReplacer("`", "", ",", "").Replace(strings.TrimRight(labels, " "))
	}
	families, err := registry(t, full()).Gather()
	require.NoError(t, err)
	exported := map[string]string{}
	for _, f := range families {
		labels := map[string]bool{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = true
		}
		text := []string{strings.ToLower(f.GetType().String())}
		for _, l := range []string{"service", "source", "kind", "stream", "method", "group", "aegis_instance", "priority", "state", "level"} {
			if labels[l] {
				text = append(text, l)
				delete(labels, l)
			}
		}
		require.Empty(t, labels)
		exported[f.GetName()] = strings.Join(text, " ")
	}
	require.Equal(t, exported, documented)
}

// names returns how many series each metric has.
func names(t *testing.T, d metrics.Documents) map[string]int {
	t.Helper()
	families, err := registry(t, d).Gather()
	require.NoError(t, err)
	n := map[string]int{}
	for _, f := range families {
		n[strings.TrimPrefix(f.GetName(), "aegis_")] = len(f.GetMetric())
	}
	return n
}

// What cannot be seen is missing, and is not 0.
func TestWhatIsNotKnownIsMissing(t *testing.T) {
	t.Parallel()
	alone := map[string]int{"findings": 2, "monitor_connected": 1, "monitor_source_state": 25, "monitor_source_age_seconds": 5, "monitor_streams": 1, "monitor_series_left_out": 1}
	for _, state := range []monitorapi.SourceState{monitorapi.SourceLoading, monitorapi.SourceDenied, monitorapi.SourceAbsent} {
		d := full()
		d.header = header(state)
		require.Equal(t, alone, names(t, d), state)
	}
	d := full()
	d.header.Sources = nil
	require.Equal(t, map[string]int{"findings": 2, "monitor_connected": 1, "monitor_streams": 1, "monitor_series_left_out": 1}, names(t, d))
	// Each source has its own.
	d = full()
	d.header.Sources[0].State = monitorapi.SourceDenied
	n := names(t, d)
	require.NotContains(t, n, "instances")
	require.NotContains(t, n, "instances_unhealthy")
	require.Contains(t, n, "leader")
	d = full()
	d.header.Sources[4].State = monitorapi.SourceDenied
	n = names(t, d)
	require.NotContains(t, n, "dead_letters")
	require.Contains(t, n, "commands")
}

// A short failure ends no series, a longer one does.
func TestWhatIsOldIsMissing(t *testing.T) {
	t.Parallel()
	age := func(state monitorapi.SourceState, connected bool, read *time.Time) *documents {
		d := full()
		d.header = header(state)
		d.header.NATS.Connected = connected
		for i := range d.header.Sources {
			d.header.Sources[i].At = read
		}
		return d
	}
	all := names(t, full())
	require.Equal(t, all, names(t, age(monitorapi.SourceReady, true, ago(time.Hour))))
	require.Equal(t, all, names(t, age(monitorapi.SourceFailed, true, ago(2*time.Minute))))
	require.Equal(t, all, names(t, age(monitorapi.SourceReady, false, ago(time.Minute))))
	require.NotContains(t, names(t, age(monitorapi.SourceFailed, true, ago(121*time.Second))), "leader")
	require.NotContains(t, names(t, age(monitorapi.SourceReady, false, ago(121*time.Second))), "commands")
	require.NotContains(t, names(t, age(monitorapi.SourceFailed, true, nil)), "commands")
}

// Names from NATS may be anything, and the scrape is whole all the same.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	d := full()
	long := strings.Repeat("<script>", 10_000)
	hostile := []string{"a\xff", "a\xfe", long + "1", long + "2", "\u202egnp.exe", "a\"} 1\n# \x00", strings.Repeat("é", 300), ""}
	d.work.Queues = nil
	for _, name := range hostile {
		d.work.Queues = append(d.work.Queues, monitorapi.Queue{Service: name, Method: name})
	}
	d.work.Queues = append(d.work.Queues, monitorapi.Queue{Service: "a\xff", Method: "a\xff"}) // twice
	families, err := registry(t, d).Gather()
	require.NoError(t, err)
	values := map[string]bool{}
	for _, f := range families {
		switch f.GetName() {
		case "aegis_commands":
			require.Len(t, f.GetMetric(), 4*len(hostile))
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "service" {
						values[l.GetValue()] = true
					}
				}
			}
		case "aegis_monitor_series_left_out":
			require.InDelta(t, 4, f.GetMetric()[0].GetGauge().GetValue(), 0)
		}
	}
	require.Len(t, values, len(hostile))
	for v := range values {
		require.LessOrEqual(t, len(v), 200)
	}
	lines, _ := scrape(t, d)
	require.NotEmpty(t, lines)
}

func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	d := full()
	for i := range 12_000 {
		d.leaders.Leaders = append(d.leaders.Leaders, monitorapi.Leadership{Service: "s", Group: strings.Repeat("g", i%100) + string(rune('a'+i/100))})
	}
	families, err := registry(t, d).Gather()
	require.NoError(t, err)
	for _, f := range families {
		switch f.GetName() {
		case "aegis_leader", "aegis_leader_term":
			require.Len(t, f.GetMetric(), 10_000)
		case "aegis_monitor_series_left_out":
			require.InDelta(t, 2*2_004, f.GetMetric()[0].GetGauge().GetValue(), 0)
		}
	}
}
