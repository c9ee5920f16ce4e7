package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/boardtest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

// A real board has all that the metrics need.
func TestTheMetricsOfABoard(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := boardtest.Full(now)
	lines, sources := scrape(t, b)
	for _, line := range []string{
		`aegis_instances{service="shop.v1.ShopService",state="RUNNING"} 3`,
		`aegis_instances_unhealthy{service="shop.v1.ShopService"} 1`,
		`aegis_leader{group="till",service="shop.v1.ShopService"} 1`,
		`aegis_leader_term{group="till",service="shop.v1.ShopService"} 2`,
		`aegis_leader_gaps_total{group="till",service="shop.v1.ShopService"} 1`,
		`aegis_leader_gap_seconds_total{group="till",service="shop.v1.ShopService"} 2`,
		`aegis_commands{method="Pack",service="shop.v1.ShopService",state="RUNNING"} 3`,
		`aegis_commands{method="Pack",service="shop.v1.ShopService",state="RETRYING"} 2`,
		`aegis_commands_waiting{method="Pack",priority="high",service="shop.v1.ShopService"} 3`,
		`aegis_events_lag{aegis_instance="",group="books",method="Sold",service="shop.v1.ShopService"} 12`,
		`aegis_events_redelivered{aegis_instance="",group="books",method="Sold",service="shop.v1.ShopService"} 1`,
		`aegis_dead_letters{method="Pack",service="shop.v1.ShopService"} 5`,
		`aegis_stream_max_bytes{kind="commands",service="shop.v1.ShopService",stream="aegis-commands-shop"} 1000`,
		`aegis_stream_refuses{kind="events",service="shop.v1.ShopService",stream="aegis-events-shop"} 0`,
		`aegis_monitor_connected 1`,
		`aegis_monitor_series_left_out 0`,
	} {
		require.Contains(t, lines, line)
	}
	require.Contains(t, sources, `aegis_monitor_source_state{source="leaders",state="ready"} 1`)

	b.Released(now, boardtest.Service, boardtest.Group, 2)
	b.Disconnected(now)
	lines, _ = scrape(t, b)
	require.Contains(t, lines, `aegis_leader{group="till",service="shop.v1.ShopService"} 0`)
	require.Contains(t, lines, `aegis_leader_gaps_total{group="till",service="shop.v1.ShopService"} 2`)
	require.Contains(t, lines, `aegis_monitor_connected 0`)
}

// The counters of gaps go on when the board has forgotten the gaps.
func TestCountersOfGapsNeverFall(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := boardtest.Full(now)
	before := b.GapsTotal(now)
	require.Len(t, before, 1)
	require.Len(t, b.Leaders(now).Leaders[0].Gaps, 1)
	for range 5 {
		now = now.Add(time.Hour)
		b.Led(now, boardtest.Service, boardtest.Group, reigns.Leader{Instance: "shop-2", Process: "process of shop-2", Term: 2})
		b.Tick(now)
	}
	require.Empty(t, b.Leaders(now).Leaders[0].Gaps)
	require.Equal(t, before, b.GapsTotal(now))
}

// A board of which nothing is known yet has no figures, and its metrics none.
func TestTheMetricsOfAnEmptyBoard(t *testing.T) {
	t.Parallel()
	lines, _ := scrape(t, board.New(board.Config{}, time.Now()))
	require.NotContains(t, strings.Join(lines, "\n"), "service=")
	require.Contains(t, lines, `aegis_monitor_connected 0`)
	require.Contains(t, lines, `aegis_findings{level="critical"} 0`)
}
