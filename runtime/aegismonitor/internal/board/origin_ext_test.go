package board_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// reservedOrder is a developer's instance.
func reservedOrder(name string, report *health.Report) aegis.Instance {
	i := running(orders, name, report)
	i.Reserved, i.Labels = true, map[string]string{"developer": "anna"}
	return i
}

func TestTheRowOfAnInstanceHasWhatItSaysOfItself(t *testing.T) {
	t.Parallel()
	b := connected(t)
	i := running(orders, "order-1", good())
	i.Zone, i.Node, i.Build, i.Labels = "eu-1a", "node-7", "v1.4.0", map[string]string{"team": "orders"}
	b.Instances(at(1), []aegis.Instance{i, running(orders, "order-2", good()), reservedOrder("mine", nil)})
	rows := b.Service(at(1), orders).Instances
	require.Equal(t, monitorapi.Origin{Labels: map[string]string{"developer": "anna"}, Reserved: true}, rows[0].Origin)
	require.Equal(t, monitorapi.Origin{Zone: "eu-1a", Node: "node-7", Build: "v1.4.0", Labels: map[string]string{"team": "orders"}}, rows[1].Origin)
	require.Equal(t, monitorapi.Origin{Labels: map[string]string{}}, rows[2].Origin)
	encoded(t, b, at(1))
}

// What a developer's own instance does is nobody else's concern.
func TestAReservedInstanceIsCountedApartAndNeedsNoAttention(t *testing.T) {
	t.Parallel()
	o := lasting(t, append(several(good(), good()), reservedOrder("mine", sick())))
	require.Empty(t, o.Findings)
	s := o.Services[0]
	require.Equal(t, []int{2, 2, 0, 1}, []int{s.Instances, s.Running, s.Unhealthy, s.Reserved})
	require.Equal(t, "2 running", s.Why)
	require.Equal(t, "A+", s.Grade)
	require.Equal(t, 2, o.Totals.Instances)

	b := connected(t)
	mine := reservedOrder("mine", good())
	b.Instances(at(0), append(several(good()), mine))
	b.InstanceChanged(at(1), change(aegis.InstanceExpired, mine))
	b.Instances(at(1), several(good()))
	tickUntil(b, 1, 8)
	require.Empty(t, b.Overview(at(8)).Findings, "a laptop was closed")
}

func TestAServiceWithReservedInstancesOnlyDoesNotServe(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.Instances(at(0), append(several(good()), reservedOrder("mine", good())))
	b.Instances(at(1), []aegis.Instance{reservedOrder("mine", good())})
	tickUntil(b, 1, 8)
	o := b.Overview(at(8))
	require.Equal(t, "1 reserved instance only", o.Services[0].Why)
	require.Equal(t, []string{"No instance of OrderService runs"}, findingWhats(o.Findings))
	require.Equal(t, "The last one, order-1, has stopped", o.Findings[0].Detail)
}
