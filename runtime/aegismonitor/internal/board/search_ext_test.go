package board_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func found(r *monitorapi.Results) []string {
	list := []string{}
	for _, one := range r.Results {
		list = append(list, one.Kind+" "+one.Name)
	}
	return list
}

func TestSearchFindsEverythingTheBestFirst(t *testing.T) {
	t.Parallel()
	b, _ := busy(t)
	require.Equal(t, []string{"service order.v1.OrderService", "instance order-2", "instance order-3"}, found(b.Search(" ORDER "))[:3])
	require.Equal(t, []string{"method Place"}, found(b.Search("plac"))[:1])
	require.Equal(t, []string{"queue Reconcile"}, found(b.Search("reconcile")))
	require.Equal(t, []string{"stream aegis-commands"}, found(b.Search("commands")))
	require.Contains(t, found(b.Search("default")), "group default")
	require.Empty(t, b.Search("nothing of that").Results)
	require.Empty(t, b.Search("  ").Results)
	risk := b.Search("risk-1").Results
	require.Len(t, risk, 2, "the server and the subscriber")
	require.Equal(t, "risk-1", risk[0].Instance)
}

func TestSearchFindsInstancesByWhatTheySayOfThemselves(t *testing.T) {
	t.Parallel()
	b := connected(t)
	one, two := running(orders, "order-1", nil), running(orders, "anna-2", nil)
	one.Zone, one.Node, one.Build = "eu-1a", "node-7", "v1.4.0"
	one.Labels = map[string]string{"Developer": "Anna"}
	b.Instances(at(0), []aegis.Instance{one, two})
	for _, text := range []string{"EU-1", "node-7", "1.4", "developer=anna"} {
		require.Equal(t, []string{"instance order-1"}, found(b.Search(text)), text)
	}
	require.Equal(t, []string{"instance anna-2", "instance order-1"}, found(b.Search("anna")), "names come first")
}

func TestTheIDOfACommandMayBeInEachQueue(t *testing.T) {
	t.Parallel()
	b, _ := busy(t)
	require.Equal(t, []monitorapi.Result{
		{Kind: "command", Service: orders, Name: "aB3.77", Level: monitorapi.LevelUnknown},
	}, b.Search("aB3.77").Results)
}

func TestSearchHasAnEnd(t *testing.T) {
	t.Parallel()
	b := connected(t)
	var list []aegis.Instance
	for i := range 60 {
		list = append(list, running(orders, fmt.Sprint("order-", i), nil))
	}
	b.Instances(at(0), list)
	r := b.Search("order")
	require.Len(t, r.Results, 50)
	require.True(t, r.More)
	require.False(t, b.Search("order-11").More)
}
