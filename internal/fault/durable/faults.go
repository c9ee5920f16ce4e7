//go:build linux

package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/fault/check"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/internal/fault/world"
	"github.com/aegisrpc/aegis/internal/wire"
)

const (
	hungFor    = 4 * time.Second // less than it takes until another leader is elected
	quorumFor  = 6 * time.Second
	resultsFor = 3 * time.Second // so that who stores a result has sent it twice
	fullFor    = 6 * time.Second
	slowBy     = 4 * time.Second
	slowFor    = 15 * time.Second
	calmFor    = 2 * time.Second // between two faults that leave NATS as it was

	wholeWithin     = 2 * time.Minute
	catchesUpWithin = 20 * time.Second
)

// whole waits until all streams have a leader and all their replicas, and all
// consumers are there: a group that begins later does not get what came before.
func (d *run) whole(ctx context.Context) error {
	if err := wait.Until(ctx, "all consumers", wholeWithin, func() bool { return d.consumers(ctx) == nil }); err != nil || d.size.replicas == 1 {
		return err
	}
	streams := []string{d.mainStream()}
	if !d.of.events {
		streams = append(streams, resultStream())
	}
	dead := wire.DeadStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName)
	var lacking error
	err := wait.Until(ctx, "the cluster to be whole", wholeWithin, func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for _, name := range streams {
			if lacking = d.WholeStream(asking, name, d.size.replicas); lacking != nil {
				return false
			}
		}
		lacking = d.WholeStream(asking, dead, d.size.replicas)
		return lacking == nil || errors.Is(lacking, jetstream.ErrStreamNotFound)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", err, lacking)
	}
	return nil
}

// consumers returns nil if all consumers of the workers are there. NATS does not list
// the consumers of a cluster that have no leader.
func (d *run) consumers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, progressWithin)
	defer cancel()
	stream, err := d.JS.Stream(ctx, d.mainStream())
	if err != nil {
		return err
	}
	missing := len(wire.Levels())
	if d.of.events {
		partitions, err := strconv.Atoi(stream.CachedInfo().Config.Metadata[wire.PartitionsKey("Changed")])
		if err != nil {
			return fmt.Errorf("partitions of the stream %s: %w", d.mainStream(), err)
		}
		missing = 1 + partitions
	}
	err = eachConsumer(ctx, stream, func(*jetstream.ConsumerInfo) error { missing--; return nil })
	if err == nil && missing > 0 {
		err = fmt.Errorf("%d consumers are missing", missing)
	}
	return err
}

// away records that NATS was away while do ran, and until all of NATS is back.
func (d *run) away(ctx context.Context, do func() error) error {
	o := check.Outage{From: history.Now()}
	err := do()
	if err == nil {
		err = d.whole(ctx)
	}
	o.To = history.Now()
	d.outages = append(d.outages, o)
	return err
}

// restartNATS restarts a NATS server with its data.
func (d *run) restartNATS(ctx context.Context, s *world.NATSServer, gently bool) error {
	return d.away(ctx, func() error {
		if gently {
			if err := world.Finish(ctx, s.Process); err != nil {
				return err
			}
		} else {
			s.Kill()
		}
		return d.back(ctx, s)
	})
}

// back starts servers again that were killed, and returns when they answer.
func (d *run) back(ctx context.Context, servers ...*world.NATSServer) error {
	for _, s := range servers {
		if err := s.Restart(ctx, true); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if _, err := s.Answers(ctx); err != nil {
			return err
		}
	}
	return nil
}

// hangFollowers stops all servers that do not lead the stream, for a while. Where
// there is but one server, it is that one.
func hangFollowers(ctx context.Context, d *run) error {
	leader, err := d.leaderOf(ctx, d.mainStream())
	if err != nil {
		return err
	}
	return d.away(ctx, func() error {
		for _, s := range d.Servers {
			if s == leader && len(d.Servers) > 1 {
				continue
			}
			if err := s.Freeze(); err != nil {
				return err
			}
			defer s.Thaw() //nolint:errcheck // fails only if it has ended
		}
		wait.For(ctx, hungFor)
		return ctx.Err()
	})
}

// leaderOf waits until a server leads a stream, and returns that server.
func (d *run) leaderOf(ctx context.Context, name string) (leader *world.NATSServer, err error) {
	if len(d.Servers) == 1 {
		return d.Servers[0], nil
	}
	err = wait.Until(ctx, "a leader of "+name, wholeWithin, func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		leader, err = d.StreamLeader(asking, name)
		return err == nil && leader != nil
	})
	return leader, err
}

// loseQuorum kills two of three servers, whichever lead.
func loseQuorum(ctx context.Context, d *run) error {
	stays := rand.IntN(len(d.Servers))
	return d.away(ctx, func() error {
		var lost []*world.NATSServer
		for i, s := range d.Servers {
			if i != stays {
				s.Kill()
				lost = append(lost, s)
			}
		}
		wait.For(ctx, quorumFor)
		return d.back(ctx, lost...)
	})
}

// loseResults takes from the results' leader its followers, and then itself: what
// it took meanwhile was never stored.
func loseResults(ctx context.Context, d *run) error {
	leader, followers := d.Servers[0], d.Servers[1:3]
	if err := d.lead(ctx, resultStream(), leader); err != nil {
		return err
	}
	return d.away(ctx, func() error {
		for _, s := range followers {
			s.Kill()
		}
		wait.For(ctx, resultsFor)
		leader.Kill()
		if err := d.back(ctx, followers...); err != nil {
			return err
		}
		if _, err := d.leaderOf(ctx, resultStream()); err != nil {
			return err
		}
		if err := d.back(ctx, leader); err != nil {
			return err
		}
		return d.replaceLaggard(ctx, leader)
	})
}

// replaceLaggard gives a server up whose results do not catch up, and has one without
// data in its place. nats-server 2.15 asks its leader again and again for the entry
// after its last one ("Expected first catchup entry to be a snapshot and peerstate,
// will retry") where it took entries that nobody else has.
func (d *run) replaceLaggard(ctx context.Context, s *world.NATSServer) error {
	caughtUp := func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return d.WholeStream(asking, resultStream(), d.size.replicas) == nil
	}
	if wait.Until(ctx, "the results to catch up", catchesUpWithin, caughtUp) == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	d.replaced++
	s.Kill()
	if err := s.Restart(ctx, false); err != nil {
		return err
	}
	_, err := s.Answers(ctx)
	return err
}

// lead has a server lead a stream.
func (d *run) lead(ctx context.Context, name string, s *world.NATSServer) error {
	order, err := json.Marshal(map[string]any{"placement": map[string]any{"preferred": s.Name()}})
	if err != nil {
		return err
	}
	return wait.Until(ctx, fmt.Sprint(s.Name(), " to lead ", name), wholeWithin, func() bool {
		leader, err := d.leaderOf(ctx, name)
		if err != nil || leader == s {
			return err == nil
		}
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _ = d.Monitor.RequestWithContext(asking, "$JS.API.STREAM.LEADER.STEPDOWN."+name, order) // it is looked at again
		wait.For(ctx, calmFor)
		return false
	})
}

// placeApart has queue and results on servers of their own, but for the first one.
// The streams are made as a worker makes them.
func placeApart(ctx context.Context, d *run) error {
	if err := d.addWorker(); err != nil {
		return err
	}
	if err := d.AwaitReady(ctx, d.workers[0]); err != nil {
		return err
	}
	d.workers[0].Kill()
	d.workers = nil
	for name, tag := range map[string]string{d.mainStream(): world.TagQueue, resultStream(): world.TagResults} {
		stream, err := d.JS.Stream(ctx, name)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		config.Placement = &jetstream.Placement{Tags: []string{tag}}
		if err := d.JS.DeleteStream(ctx, name); err != nil {
			return err
		}
		wait.For(ctx, calmFor) // NATS may take the files of the next one with those of the last
		if _, err := d.JS.CreateStream(ctx, config); err != nil {
			return fmt.Errorf("place %s on servers with the tag %s: %w", name, tag, err)
		}
	}
	return nil
}

// fill has the account's limit be exceeded for a while.
func fill(ctx context.Context, d *run) error {
	if err := d.limitAccount(1); err != nil {
		return err
	}
	wait.For(ctx, fullFor)
	err := d.limitAccount(-1)
	wait.For(ctx, calmFor)
	return err
}

// limitAccount says how many bytes the account may store; -1: as many as it likes.
func (d *run) limitAccount(bytes int) error {
	for _, s := range d.Servers {
		if err := s.Tell(fmt.Sprint(roles.CommandLimit, " ", bytes)); err != nil {
			return err
		}
	}
	return nil
}

// fewAtOnce is the largest pull that consumers accept while they refuse pulls.
const fewAtOnce = 4

// refusePulls has consumers refuse requests for more than a few messages, or no
// more, in turns. The last time it stays so: what is left has to be done all the
// same.
func refusePulls(ctx context.Context, d *run) error {
	most := fewAtOnce
	if d.faults%2 == 1 {
		most = 0
	}
	stream, err := d.JS.Stream(ctx, d.mainStream())
	if err != nil {
		return err
	}
	return eachConsumer(ctx, stream, func(c *jetstream.ConsumerInfo) error {
		config := c.Config
		config.MaxRequestBatch = most
		_, err := stream.UpdateConsumer(ctx, config)
		return err
	})
}

// slowDown has the API answer workers late, while they look for their consumers.
func slowDown(ctx context.Context, d *run) error {
	d.delay.Store(int64(slowBy))
	defer d.delay.Store(0)
	if err := d.deposeConsumers(ctx); err != nil {
		return err
	}
	wait.For(ctx, slowFor)
	return ctx.Err()
}

// deposeConsumers has all consumers get another leader, so that workers look for
// them again, and waits until they have. That takes seconds where none is at hand.
func (d *run) deposeConsumers(ctx context.Context) error {
	stream, err := d.JS.Stream(ctx, d.mainStream())
	if err != nil {
		return err
	}
	o := check.Outage{From: history.Now()}
	defer func() { o.To = history.Now(); d.deposed = append(d.deposed, o) }()
	err = eachConsumer(ctx, stream, func(c *jetstream.ConsumerInfo) error {
		asking, cancel := context.WithTimeout(ctx, progressWithin)
		defer cancel()
		_, err := d.Monitor.RequestWithContext(asking, "$JS.API.CONSUMER.LEADER.STEPDOWN."+c.Stream+"."+c.Name, nil)
		return err
	})
	if err != nil {
		return err
	}
	return wait.Until(ctx, "all consumers", wholeWithin, func() bool { return d.consumers(ctx) == nil })
}
