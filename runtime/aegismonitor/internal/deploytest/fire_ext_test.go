package deploytest_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"
)

// well is what Prometheus scrapes while all is well, though busy: a sample each 15 s, for two
// hours. Each value stands for a border that must not raise an alert: errors of callers, a
// queue that is long and does not grow, a stream that is full and drops its oldest.
var well = map[string]string{
	`aegis_server_requests_total{aegis_instance="a",service="s",method="m",code="OK"}`:                  "0+15x480",
	`aegis_server_requests_total{aegis_instance="a",service="s",method="m",code="NOT_FOUND"}`:           "0+15x480",
	`aegis_server_requests_total{aegis_instance="a",service="s",method="m",code="INTERNAL"}`:            "0+1x480",
	`aegis_server_refused_total{aegis_instance="a",service="s",method="m",reason="OVERLOADED"}`:         "0+1x480",
	`aegis_server_refused_total{aegis_instance="a",service="s",method="m",reason="STOPPING"}`:           "0+15x480",
	`aegis_server_request_duration_seconds_bucket{aegis_instance="a",service="s",method="m",le="1"}`:    "0+31x480",
	`aegis_server_request_duration_seconds_bucket{aegis_instance="a",service="s",method="m",le="5"}`:    "0+31x480",
	`aegis_server_request_duration_seconds_bucket{aegis_instance="a",service="s",method="m",le="+Inf"}`: "0+31x480",
	`aegis_server_health_score{aegis_instance="a",service="s"}`:                                         "70x480",
	`aegis_server_ready{aegis_instance="a"}`:                                                            "1x480",
	`aegis_instances{service="s",state="RUNNING"}`:                                                      "4x480",
	`aegis_instances{service="s",state="STARTING"}`:                                                     "0x480",
	`aegis_instances_unhealthy{service="s"}`:                                                            "0x480",
	`aegis_leader{service="s",group="g"}`:                                                               "1x480",
	`aegis_leader{service="s",group="g",instance="another-monitor"}`:                                    "0x480",
	`aegis_leader_gaps_total{service="s",group="g"}`:                                                    "90x480",
	`aegis_leader_gap_seconds_total{service="s",group="g"}`:                                             "900x480",
	`aegis_commands{service="s",method="c",state="WAITING"}`:                                            "200x480",
	`aegis_commands{service="s",method="c",state="SCHEDULED"}`:                                          "0+10x480",
	`aegis_commands_oldest_age_seconds{service="s",method="c"}`:                                         "590x480",
	`aegis_events_lag{service="s",method="e",group="billing",aegis_instance=""}`:                        "5000x480",
	`aegis_events_lag{service="s",method="e",group="small",aegis_instance=""}`:                          "0+1x480",
	`aegis_events_redelivered{service="s",method="e",group="billing",aegis_instance=""}`:                "10x480",
	`aegis_dead_letters{service="s",method="c"}`:                                                        "0x480",
	`aegis_stream_bytes{service="s",kind="commands",stream="c"}`:                                        "800x480",
	`aegis_stream_max_bytes{service="s",kind="commands",stream="c"}`:                                    "1000x480",
	`aegis_stream_refuses{service="s",kind="commands",stream="c"}`:                                      "1x480",
	`aegis_stream_bytes{service="s",kind="events",stream="e"}`:                                          "1000x480",
	`aegis_stream_max_bytes{service="s",kind="events",stream="e"}`:                                      "1000x480",
	`aegis_stream_refuses{service="s",kind="events",stream="e"}`:                                        "0x480",
	`aegis_findings{level="critical"}`:                                                                  "0x480",
	`aegis_findings{level="attention"}`:                                                                 "3x480",
	`aegis_monitor_connected`:                                                                           "1x480",
	`aegis_monitor_connected{instance="another-monitor"}`:                                               "0x480",
	`aegis_monitor_source_state{source="instances",state="ready"}`:                                      "1x480",
	`aegis_monitor_source_state{source="work",state="failed"}`:                                          "0x480",
	`aegis_monitor_source_state{source="work",state="absent"}`:                                          "1x480",
	`aegis_monitor_series_left_out`:                                                                     "0x480",
}

// change is when the series of a case change: after 240 samples. Rules are evaluated from
// when they have settled on, to the end at most.
const (
	settled = 50 * time.Minute
	change  = time.Hour
	end     = 110 * time.Minute
)

// cases have for each alert the series that change, and how long after the change it fires.
var cases = map[string]struct {
	series     map[string]string
	soon, late time.Duration
	also       []string // other alerts that may fire with it
}{
	"AegisInstanceScoreLow": {
		series: map[string]string{`aegis_server_health_score{aegis_instance="a",service="s"}`: "70x239 59x240"},
		soon:   10 * time.Minute, late: 10 * time.Minute,
	},
	"AegisInstanceNotReady": {
		series: map[string]string{`aegis_server_ready{aegis_instance="a"}`: "1x239 0x240"},
		soon:   5 * time.Minute, late: 5 * time.Minute,
	},
	"AegisPartBroken": {
		series: map[string]string{`aegis_server_part_broken{aegis_instance="a",part="the commands of s.c"}`: "_x240 1x240"},
		soon:   5 * time.Minute, late: 5 * time.Minute,
	},
	"AegisInstancesUnhealthy": {
		series: map[string]string{`aegis_instances_unhealthy{service="s"}`: "0x239 1x240"},
		soon:   5 * time.Minute, late: 5 * time.Minute,
	},
	"AegisInstancesLost": {
		series: map[string]string{`aegis_instances{service="s",state="RUNNING"}`: "4x239 1x240"},
		soon:   5 * time.Minute, late: 5 * time.Minute,
	},
	"AegisServiceGone": {
		series: map[string]string{`aegis_instances{service="s",state="RUNNING"}`: "4x239 0x240", `aegis_leader{service="s",group="g"}`: "1x239 0x240"},
		soon:   time.Minute, late: time.Minute, also: []string{"AegisInstancesLost"},
	},
	"AegisErrors": {
		series: map[string]string{`aegis_server_requests_total{aegis_instance="a",service="s",method="m",code="INTERNAL"}`: "0x239 0+4x240"},
		soon:   5 * time.Minute, late: 11 * time.Minute,
	},
	"AegisErrorsMany": {
		series: map[string]string{`aegis_server_requests_total{aegis_instance="a",service="s",method="m",code="INTERNAL"}`: "0x239 0+30x240"},
		soon:   2 * time.Minute, late: 8 * time.Minute, also: []string{"AegisErrors"},
	},
	"AegisSlow": {
		series: map[string]string{`aegis_server_request_duration_seconds_bucket{aegis_instance="a",service="s",method="m",le="1"}`: "0+31x239 7409+30x240"},
		soon:   10 * time.Minute, late: 16 * time.Minute,
	},
	"AegisOverloaded": {
		series: map[string]string{`aegis_server_refused_total{aegis_instance="a",service="s",method="m",reason="OVERLOADED"}`: "0x239 0+3x240"},
		soon:   5 * time.Minute, late: 11 * time.Minute,
	},
	"AegisNoLeader": {
		series: map[string]string{`aegis_leader{service="s",group="g"}`: "1x239 0x240"},
		soon:   30 * time.Second, late: 30 * time.Second,
	},
	"AegisLeaderChangesOften": {
		series: map[string]string{`aegis_leader_gaps_total{service="s",group="g"}`: "90x239 90+1x240"},
		soon:   2 * time.Minute, late: 4 * time.Minute,
	},
	"AegisLeaderlessLong": {
		series: map[string]string{`aegis_leader_gap_seconds_total{service="s",group="g"}`: "900x239 900+5x240"},
		soon:   3 * time.Minute, late: 6 * time.Minute,
	},
	"AegisCommandsWait": {
		series: map[string]string{`aegis_commands_oldest_age_seconds{service="s",method="c"}`: "590x239 590+15x240"},
		soon:   5 * time.Minute, late: 6 * time.Minute,
	},
	"AegisQueueGrows": {
		series: map[string]string{`aegis_commands{service="s",method="c",state="WAITING"}`: "200x239 200+1x240"},
		soon:   20 * time.Minute, late: 21 * time.Minute,
	},
	"AegisEventsLag": {
		series: map[string]string{`aegis_events_lag{service="s",method="e",group="billing",aegis_instance=""}`: "5000x239 5000+1x240"},
		soon:   20 * time.Minute, late: 21 * time.Minute,
	},
	"AegisEventsRedelivered": {
		series: map[string]string{`aegis_events_redelivered{service="s",method="e",group="billing",aegis_instance=""}`: "10x239 11x240"},
		soon:   15 * time.Minute, late: 15 * time.Minute,
	},
	"AegisDeadLetters": {
		series: map[string]string{`aegis_dead_letters{service="s",method="c"}`: "0x239 1x240"},
		soon:   5 * time.Minute, late: 5 * time.Minute,
	},
	"AegisDeadLettersGrow": {
		series: map[string]string{`aegis_dead_letters{service="s",method="c"}`: "0x239 0+1x240"},
		soon:   3 * time.Minute, late: 5 * time.Minute, also: []string{"AegisDeadLetters"},
	},
	"AegisStreamNearlyFull": {
		series: map[string]string{`aegis_stream_bytes{service="s",kind="commands",stream="c"}`: "800x239 851x240"},
		soon:   10 * time.Minute, late: 10 * time.Minute,
	},
	"AegisMonitorMissing": {
		series: map[string]string{`aegis_monitor_connected`: "1x239 stale", `aegis_monitor_connected{instance="another-monitor"}`: "0x239 stale"},
		soon:   5 * time.Minute, late: 5 * time.Minute,
	},
	"AegisMonitorNotConnected": {
		series: map[string]string{`aegis_monitor_connected`: "1x239 0x240"},
		soon:   time.Minute, late: time.Minute,
	},
	"AegisMonitorBlind": {
		series: map[string]string{`aegis_monitor_source_state{source="work",state="failed"}`: "0x239 1x240"},
		soon:   5 * time.Minute, late: 5 * time.Minute,
	},
	"AegisMonitorFindings": {
		series: map[string]string{`aegis_findings{level="critical"}`: "0x239 2x240"},
		soon:   10 * time.Minute, late: 10 * time.Minute,
	},
	"AegisMonitorLeavesOut": {
		series: map[string]string{`aegis_monitor_series_left_out`: "0x239 2x240"},
		soon:   10 * time.Minute, late: 10 * time.Minute,
	},
}

// fired is when an alert fired first, after the beginning, and what it said.
type fired struct {
	after time.Duration
	text  string
}

// watch evaluates all rules each 15 s between two times, and returns which alerts fired.
func watch(t *testing.T, changed map[string]string, from, to time.Duration) map[string]fired {
	t.Helper()
	series := maps.Clone(well)
	maps.Copy(series, changed)
	var load strings.Builder
	load.WriteString("load 15s\n")
	for name, values := range series {
		fmt.Fprintf(&load, "  %s %s\n", name, values)
	}
	p := parser.NewParser(parser.Options{})
	suite, err := promqltest.NewLazyLoader(load.String(), promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true, Parser: p})
	require.NoError(t, err)
	defer func() { require.NoError(t, suite.Close()) }()
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(suite.QueryEngine(), suite.Storage()), AppendableV2: suite.Storage(), Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: slog.New(slog.DiscardHandler), Parser: p,
	})
	loaded, errs := manager.LoadGroups(15*time.Second, labels.EmptyLabels(), "", nil, false, rulesFile)
	require.Empty(t, errs)
	groups := slices.SortedFunc(maps.Values(loaded), func(a, b *rules.Group) int { // as in the file: figures are first
		return strings.Compare(order(a), order(b))
	})
	first := map[string]fired{}
	for after := from; after <= to; after += 15 * time.Second {
		at := time.Unix(0, 0).UTC().Add(after)
		suite.WithSamplesTill(at, func(err error) {
			require.NoError(t, err)
			for _, g := range groups {
				g.Eval(suite.Context(), at)
				note(t, g, at, first)
			}
		})
	}
	return first
}

func order(g *rules.Group) string {
	if g.Name() == "aegis-figures" {
		return ""
	}
	return g.Name()
}

// note adds the alerts of a group that fire and did not before.
func note(t *testing.T, g *rules.Group, at time.Time, first map[string]fired) {
	t.Helper()
	for _, r := range g.Rules() {
		require.NoError(t, r.LastError(), r.Name())
		alert, ok := r.(*rules.AlertingRule)
		if !ok {
			continue
		}
		for _, a := range alert.ActiveAlerts() {
			if _, before := first[r.Name()]; a.State == rules.StateFiring && !before {
				first[r.Name()] = fired{at.Sub(time.Unix(0, 0)), a.Annotations.String()}
			}
		}
	}
}

func TestNoAlertFiresWhileAllIsWell(t *testing.T) {
	t.Parallel()
	require.Empty(t, watch(t, nil, 0, end))
}

func TestEachAlertFiresWhenItShould(t *testing.T) {
	t.Parallel()
	for name := range alerts(t) {
		require.Contains(t, cases, name, "an alert without a case")
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := watch(t, c.series, settled, change+c.late)
			require.Contains(t, first, name)
			require.GreaterOrEqual(t, first[name].after, change+c.soon)
			require.LessOrEqual(t, first[name].after, change+c.late)
			require.NotContains(t, first[name].text, "no value")
			require.NotContains(t, first[name].text, "error expanding")
			delete(first, name)
			for _, also := range c.also {
				delete(first, also)
			}
			require.Empty(t, first, "other alerts")
		})
	}
}

// Things that pass by themselves raise no alert.
func TestWhatPassesRaisesNoAlert(t *testing.T) {
	t.Parallel()
	for name, series := range map[string]map[string]string{
		"a leader is killed and another one follows": {
			`aegis_leader{service="s",group="g"}`:                   "1x239 0x0 1x240",
			`aegis_leader_gaps_total{service="s",group="g"}`:        "90x239 91x240",
			`aegis_leader_gap_seconds_total{service="s",group="g"}`: "900x239 901x240",
		},
		"a monitor restarts, and counts from the beginning": {
			`aegis_leader_gaps_total{service="s",group="g"}`:        "90x239 0x240",
			`aegis_leader_gap_seconds_total{service="s",group="g"}`: "900x239 0x240",
		},
		"a burst of commands is worked off": {
			`aegis_commands{service="s",method="c",state="WAITING"}`: "0x239 3000-20x150 0x90",
		},
		"a group has no leader as its service was removed an hour ago": {
			`aegis_leader{service="s",group="g"}`:          "0x480",
			`aegis_instances{service="s",state="RUNNING"}`: "_x480",
		},
		"a monitor cannot read instances": {
			`aegis_instances{service="s",state="RUNNING"}`:                 "4x239 stale",
			`aegis_instances_unhealthy{service="s"}`:                       "0x239 stale",
			`aegis_monitor_source_state{source="instances",state="ready"}`: "1x239 0x240",
		},
		"a method that is hardly called fails once": {
			`aegis_server_requests_total{aegis_instance="a",service="s",method="rare",code="INTERNAL"}`: "0x239 1x240",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, watch(t, series, settled, end))
		})
	}
}

// A service that is forgotten altogether is gone as well.
func TestAServiceThatVanishesIsGone(t *testing.T) {
	t.Parallel()
	first := watch(t, map[string]string{
		`aegis_instances{service="s",state="RUNNING"}`: "4x239 stale", `aegis_instances_unhealthy{service="s"}`: "0x239 stale", `aegis_leader{service="s",group="g"}`: "1x239 stale",
	}, settled, end)
	require.Contains(t, first, "AegisServiceGone")
	delete(first, "AegisServiceGone")
	require.Empty(t, first)
}
