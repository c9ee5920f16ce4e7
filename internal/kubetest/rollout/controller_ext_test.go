package rollout_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const look = 20 * time.Millisecond

// controller does with the pods what the controllers of Deployments and of evictions do.
type controller struct {
	*kubelet
	replicas int
	made     int
	pods     []*pod // those that are not being deleted
	deleted  []*pod
	leader   func() string
}

func (c *controller) create(revision, node string) {
	c.made++
	c.pods = append(c.pods, c.start(fmt.Sprintf("order-%s-%d", revision, c.made), node))
}

func (c *controller) remove(p *pod) {
	c.pods = slices.DeleteFunc(c.pods, func(other *pod) bool { return other == p })
	c.deleted = append(c.deleted, p)
	c.delete(p)
}

func (c *controller) availablePods() int {
	n := 0
	for _, p := range c.pods {
		if c.available(p) {
			n++
		}
	}
	return n
}

func (c *controller) until(ctx context.Context, done func() bool) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			require.FailNow(c.t, "the time is over")
		}
	}
}

// roll replaces all pods, with no more of them than maxSurge allows and no fewer available than
// maxUnavailable does. Pods that are being deleted are not counted, as the controller does not
// either. The leader goes first, whichever pod that is: so each of them hands over.
func (c *controller) roll(ctx context.Context) {
	rolling := c.deployment.Spec.Strategy.RollingUpdate
	surge, err := intstr.GetScaledValueFromIntOrPercent(rolling.MaxSurge, c.replicas, true)
	require.NoError(c.t, err)
	unavailable, err := intstr.GetScaledValueFromIntOrPercent(rolling.MaxUnavailable, c.replicas, false)
	require.NoError(c.t, err)
	old := slices.Clone(c.pods)
	made := 0
	c.until(ctx, func() bool {
		old = slices.DeleteFunc(old, func(p *pod) bool { return p.deleting.Load() })
		if made < c.replicas && len(c.pods) < c.replicas+surge {
			made++
			c.create("new", fmt.Sprint("node-", made%3))
		}
		if len(old) > 0 && c.availablePods() > c.replicas-unavailable {
			c.remove(c.first(old))
		}
		return len(old) == 0 && made == c.replicas && c.availablePods() == c.replicas
	})
}

// first is the pod that leads, or else any.
func (c *controller) first(of []*pod) *pod {
	leader := c.leader()
	if i := slices.IndexFunc(of, func(p *pod) bool { return p.name == leader }); i >= 0 {
		return of[i]
	}
	return of[0]
}

// drain evicts the pods of a node, each when the disruption budget allows it, and starts another
// elsewhere for each. It returns how many of the node were on their way out at once, at most.
func (c *controller) drain(ctx context.Context, node string) int {
	allowed, err := intstr.GetScaledValueFromIntOrPercent(c.budget.Spec.MaxUnavailable, c.replicas, true)
	require.NoError(c.t, err)
	most := 0
	c.until(ctx, func() bool {
		here := slices.DeleteFunc(slices.Clone(c.pods), func(p *pod) bool { return p.node != node })
		if len(here) > 0 && c.availablePods() > c.replicas-allowed {
			c.remove(c.first(here))
			c.create("moved", "node-else")
		}
		leaving := 0
		for _, p := range c.deleted {
			if p.node == node && p.process.Alive() {
				leaving++
			}
		}
		most = max(most, leaving)
		return len(here) == 0 && c.availablePods() == c.replicas
	})
	return most
}
