package collect_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/collect"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The collector and the board together.
func TestABoardShowsWhatIsRead(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveProbe(t, n.Connect(t), "p")
	orders := n.Connect(t, silent())
	serveOrders(t, orders, "o")
	startWorker(t, n.Connect(t))
	b := board.New(board.Config{Namespace: "aegis"}, time.Now())
	var looked interest.Interest
	rounds := make(chan struct{}, 1)
	c := collect.Start(n.Connect(t), b, &looked, collect.Config{Round: func() {
		select {
		case rounds <- struct{}{}:
		default: // the test looks again anyway
		}
	}})
	t.Cleanup(c.Stop)
	<-rounds
	leave := looked.Look(interest.Figures)
	defer leave()
	looked.Glance(interest.Work)
	client := newProbes(t, n)
	eventually(t, "all is read", func() bool { return b.Ready() })
	eventually(t, "there is a rate", func() bool {
		_, err := client.Do(t.Context(), &testv1.DoRequest{})
		require.NoError(t, err)
		d := b.Service(time.Now(), probeService)
		return d.Found && len(d.Instances) == 1 && d.Service.PerSecond != nil && *d.Service.PerSecond > 0 && d.Service.P99Ms != nil
	})
	lead := func(state monitorapi.LeaderState) func() bool {
		return func() bool {
			list := b.Leaders(time.Now()).Leaders
			return len(list) == 1 && list[0].State == state && list[0].Service == orderService
		}
	}
	eventually(t, "there is a leader", lead(monitorapi.LeaderLeads))
	eventually(t, "the work is shown", func() bool { return len(b.Work(time.Now()).Queues) > 0 })
	for _, s := range b.Header(time.Now()).Sources {
		require.Equal(t, monitorapi.SourceReady, s.State, "%+v", s)
	}
	orders.NATS().Close()
	eventually(t, "the leader is gone", lead(monitorapi.LeaderGone))
}
