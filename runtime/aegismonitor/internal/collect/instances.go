package collect

import (
	"context"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	// watchAgain is the pause before instances are watched again.
	watchAgain = time.Second
	// instancesTimeout bounds the wait for the instances in a round.
	instancesTimeout = 6 * time.Second
)

// watchInstances tells the board each change of an instance as it comes.
func (c *Collector) watchInstances(ctx context.Context) {
	for ctx.Err() == nil {
		pause := watchAgain
		for change, err := range c.conn.WatchInstances(ctx, aegis.AllServices) {
			if err != nil {
				if aegis.CodeOf(err) == aegis.CodePermissionDenied {
					pause = deniedPause
				}
				c.instancesFailed(ctx, err)
				break
			}
			c.board.InstanceChanged(time.Now(), change)
		}
		sleep(ctx, pause, nil)
	}
}

// readInstances reads all instances for the board and the other parts.
func (c *Collector) readInstances(ctx context.Context) {
	reading, cancel := context.WithTimeout(ctx, instancesTimeout)
	defer cancel()
	list, err := c.conn.Instances(reading, aegis.AllServices)
	if err != nil {
		c.instancesFailed(ctx, err)
		return
	}
	c.roster.set(list)
	if !c.in.Bus.Link.Up() {
		return // it is what was there before
	}
	c.board.Instances(time.Now(), list)
	c.sources.ready(monitorapi.SourceInstances)
}

func (c *Collector) instancesFailed(ctx context.Context, err error) {
	c.sources.failed(ctx, monitorapi.SourceInstances, err)
}
