//go:build linux

package calls

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	"github.com/aegisrpc/aegis/internal/fault/world"
)

// restartNATS kills the NATS server and starts it again.
func restartNATS(ctx context.Context, w *world.World) (time.Duration, error) {
	if _, _, err := calm(ctx, w); err != nil {
		return 0, err
	}
	return restartServer(ctx, w, w.Servers[0], true)
}

// wipeNATS kills the NATS server and starts it again with an empty store.
func wipeNATS(ctx context.Context, w *world.World) (time.Duration, error) {
	if _, _, err := calm(ctx, w); err != nil {
		return 0, err
	}
	return restartServer(ctx, w, w.Servers[0], false)
}

// restartServer measures from the first JetStream answer.
func restartServer(ctx context.Context, w *world.World, s *world.NATSServer, withData bool) (time.Duration, error) {
	s.Kill()
	if err := w.AskNext(); err != nil {
		return 0, err
	}
	if err := s.Restart(ctx, withData); err != nil {
		return 0, err
	}
	back, err := s.Answers(ctx)
	if err != nil {
		return 0, err
	}
	replied, err := w.AwaitNext(ctx, world.LeaderWithin)
	return max(0, time.Duration(replied-back)), err
}

// killBoth kills the leader and the NATS server, and starts the latter again.
func killBoth(ctx context.Context, w *world.World) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	leader.Kill()
	w.Servers[0].Kill()
	if err := w.Servers[0].Restart(ctx, true); err != nil {
		return 0, err
	}
	replied, err := w.NewLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	return time.Duration(replied - at), w.Replace(ctx, leader, "")
}

// deleteBucket deletes the leader records under everybody's feet.
func deleteBucket(ctx context.Context, w *world.World) (time.Duration, error) {
	_, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	if err := w.JS.DeleteStream(ctx, world.LeaderStream); err != nil {
		return 0, err
	}
	replied, err := w.NewLeader(ctx, term)
	return time.Duration(replied - at), err
}

// killServer kills one server of a cluster, and starts it again when the leader
// records are written and calls are accepted without it. It returns the longest
// time without an accepted call: a leader may go on until its lease ends.
func killServer(which func(context.Context, *world.World) (*world.NATSServer, error)) func(context.Context, *world.World) (time.Duration, error) {
	return func(ctx context.Context, w *world.World) (time.Duration, error) {
		if _, _, err := calm(ctx, w); err != nil {
			return 0, err
		}
		s, err := which(ctx, w)
		if err != nil {
			return 0, err
		}
		before, err := w.Revision(ctx)
		if err != nil {
			return 0, err
		}
		at := history.Now()
		s.Kill()
		if err := wait.Until(ctx, "a write of a leader", world.LeaderWithin, func() bool {
			now, err := w.Revision(ctx)
			return err == nil && now > before+1 // one may have been on its way
		}); err != nil {
			return 0, err
		}
		replied, err := w.NextReply(ctx, world.LeaderWithin)
		if err != nil {
			return 0, err
		}
		took, err := longestGap(w, at, replied)
		if err != nil {
			return 0, err
		}
		if err := s.Restart(ctx, true); err != nil {
			return 0, err
		}
		return took, whole(ctx, w)
	}
}

// longestGap returns the longest time between two accepted replies of a period.
func longestGap(w *world.World, from, to int64) (time.Duration, error) {
	times := []int64{from, to}
	records, err := w.Called()
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if r.Outcome == history.Accepted && r.End > from && r.End < to {
			times = append(times, r.End)
		}
	}
	slices.Sort(times)
	longest := int64(0)
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i]-times[i-1])
	}
	return time.Duration(longest), nil
}

// whole waits until all replicas of the leader records are current again.
func whole(ctx context.Context, w *world.World) error {
	return wait.Until(ctx, "the cluster to be whole", world.LeaderWithin, func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for _, name := range []string{world.LeaderStream, roles.StateStream} {
			if w.WholeStream(asking, name, len(w.Servers)) != nil {
				return false
			}
		}
		return true
	})
}

// leadersServer returns the NATS server that the leader is connected to.
func leadersServer(ctx context.Context, w *world.World) (*world.NATSServer, error) {
	record, err := w.Record(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range w.Servers {
		nc, err := nats.Connect(s.Addr(), nats.NoReconnect())
		if err != nil {
			return nil, err
		}
		id := nc.ConnectedServerId()
		nc.Close()
		if id == record.ServerID {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the leader is on the NATS server %s, which is none of ours", record.ServerID)
}

// raftLeader returns the NATS server that orders the writes of the leader records.
func raftLeader(ctx context.Context, w *world.World) (*world.NATSServer, error) {
	s, err := w.StreamLeader(ctx, world.LeaderStream)
	if err == nil && s == nil {
		err = fmt.Errorf("the stream %s has no raft leader", world.LeaderStream)
	}
	return s, err
}

// partition cuts the routes between the leader's server and the two others.
func partition(ctx context.Context, w *world.World) (time.Duration, error) {
	_, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	alone, err := leadersServer(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	w.CutOff(alone)
	replied, err := w.NewLeader(ctx, term)
	wait.For(ctx, rand.N(time.Second))
	w.Join(alone)
	if err != nil {
		return 0, err
	}
	return time.Duration(replied - at), whole(ctx, w)
}

// floods is how many requests each way of a flood takes, and floodCaller the
// number of the caller that they are of.
const (
	floods      = 20
	floodCaller = 1 << 20
)

// flood sends requests to a candidate in each way that there is, as clients do that
// have not heard of another leader. Nobody gets to know the outcome of these
// requests.
func flood(w *world.World, to *world.Candidate, term uint64) error {
	subjects := []string{
		fmt.Sprint("aegis.lead.fault.v1.FaultService.Act.default.", term),
		"aegis.lead.fault.v1.FaultService.Act.default.any",
		"aegis.inst." + to.Order.Instance + ".fault.v1.FaultService.Act",
	}
	for range floods {
		for _, subject := range subjects {
			number := uint64(w.Unanswered() + 1)
			r := history.Record{
				Kind: history.Called, Outcome: history.Unknown, Begin: history.Now(),
				ID: floodCaller<<roles.CallerShift | number, Key: uint32(number % world.RegisterKeys),
			}
			r.End = r.Begin
			data, err := proto.Marshal(&faultv1.ActRequest{Id: r.ID, Key: r.Key, Called: r.Begin})
			if err != nil {
				return err
			}
			w.AddUnanswered(r)
			if err := w.Monitor.PublishRequest(subject, w.Monitor.NewInbox(), data); err != nil {
				return err
			}
		}
	}
	return w.Monitor.Flush()
}
