//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/proxy"
	"github.com/aegisrpc/aegis/internal/fault/wait"
)

// leaderStream is the KV bucket of the leader records.
const leaderStream = "KV_aegis-leaders"

// restartNATS kills the NATS server and starts it again.
func restartNATS(ctx context.Context, w *world) (time.Duration, error) {
	if _, _, err := calm(ctx, w); err != nil {
		return 0, err
	}
	return w.restartServer(ctx, w.servers[0], true)
}

// wipeNATS does so with an empty store.
func wipeNATS(ctx context.Context, w *world) (time.Duration, error) {
	if _, _, err := calm(ctx, w); err != nil {
		return 0, err
	}
	return w.restartServer(ctx, w.servers[0], false)
}

// restartServer measures from the first JetStream answer.
func (w *world) restartServer(ctx context.Context, s *natsServer, withData bool) (time.Duration, error) {
	s.kill()
	if err := w.askNext(); err != nil {
		return 0, err
	}
	if err := s.restart(ctx, withData); err != nil {
		return 0, err
	}
	back, err := s.answers(ctx)
	if err != nil {
		return 0, err
	}
	replied, err := w.awaitNext(ctx, leaderWithin)
	return max(0, time.Duration(replied-back)), err
}

// killBoth kills the leader and the NATS server, and starts the latter again.
func killBoth(ctx context.Context, w *world) (time.Duration, error) {
	leader, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	leader.kill()
	w.servers[0].kill()
	if err := w.servers[0].restart(ctx, true); err != nil {
		return 0, err
	}
	replied, err := w.newLeader(ctx, term)
	if err != nil {
		return 0, err
	}
	return time.Duration(replied - at), w.replace(ctx, leader, "")
}

// deleteBucket deletes the leader records under everybody's feet.
func deleteBucket(ctx context.Context, w *world) (time.Duration, error) {
	_, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	if err := w.js.DeleteStream(ctx, leaderStream); err != nil {
		return 0, err
	}
	replied, err := w.newLeader(ctx, term)
	return time.Duration(replied - at), err
}

// killServer kills one server of a cluster, and starts it again when the leader
// records are written and calls are accepted without it. It returns the longest
// time without an accepted call: a leader may go on until its lease ends.
func killServer(which func(context.Context, *world) (*natsServer, error)) func(context.Context, *world) (time.Duration, error) {
	return func(ctx context.Context, w *world) (time.Duration, error) {
		if _, _, err := calm(ctx, w); err != nil {
			return 0, err
		}
		s, err := which(ctx, w)
		if err != nil {
			return 0, err
		}
		before, err := w.revision(ctx)
		if err != nil {
			return 0, err
		}
		at := history.Now()
		s.kill()
		if err := wait.Until(ctx, "a write of a leader", leaderWithin, func() bool {
			now, err := w.revision(ctx)
			return err == nil && now > before+1 // one may have been on its way
		}); err != nil {
			return 0, err
		}
		replied, err := w.nextReply(ctx, leaderWithin)
		if err != nil {
			return 0, err
		}
		took, err := w.longestGap(at, replied)
		if err != nil {
			return 0, err
		}
		if err := s.restart(ctx, true); err != nil {
			return 0, err
		}
		return took, w.whole(ctx)
	}
}

// longestGap is the longest time between two accepted replies of a period.
func (w *world) longestGap(from, to int64) (time.Duration, error) {
	times := []int64{from, to}
	for _, path := range w.calls {
		records, err := history.Read(path)
		if err != nil {
			return 0, err
		}
		for _, r := range records {
			if r.Outcome == history.Accepted && r.End > from && r.End < to {
				times = append(times, r.End)
			}
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
func (w *world) whole(ctx context.Context) error {
	return wait.Until(ctx, "the cluster to be whole", leaderWithin, func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		for _, name := range []string{leaderStream, roles.StateStream} {
			if w.wholeStream(asking, name, len(w.servers)) != nil {
				return false
			}
		}
		return true
	})
}

// wholeStream returns nil if a stream has a leader and all its replicas, which are
// current.
func (w *world) wholeStream(ctx context.Context, name string, replicas int) error {
	stream, err := w.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	info := stream.CachedInfo().Cluster
	if info == nil || info.Leader == "" || len(info.Replicas) != replicas-1 {
		return fmt.Errorf("the stream %s lacks a leader or replicas", name)
	}
	for _, r := range info.Replicas {
		if !r.Current || r.Offline {
			return fmt.Errorf("the replica of %s on %s is not current", name, r.Name)
		}
	}
	return nil
}

// leadersServer is the NATS server that the leader is connected to.
func leadersServer(ctx context.Context, w *world) (*natsServer, error) {
	record, err := w.record(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range w.servers {
		nc, err := nats.Connect(s.address(), nats.NoReconnect())
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

// raftLeader is the NATS server that orders the writes of the leader records.
func raftLeader(ctx context.Context, w *world) (*natsServer, error) {
	stream, err := w.js.Stream(ctx, leaderStream)
	if err != nil {
		return nil, err
	}
	for _, s := range w.servers {
		if info := stream.CachedInfo().Cluster; info != nil && info.Leader == s.order.Name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("the stream %s has no raft leader", leaderStream)
}

// partition cuts the routes between the leader's server and the two others.
func partition(ctx context.Context, w *world) (time.Duration, error) {
	_, term, err := calm(ctx, w)
	if err != nil {
		return 0, err
	}
	alone, err := leadersServer(ctx, w)
	if err != nil {
		return 0, err
	}
	at := history.Now()
	w.cut(alone, (*proxy.Gate).Shut)
	replied, err := w.newLeader(ctx, term)
	wait.For(ctx, anyUpTo(time.Second))
	w.cut(alone, (*proxy.Gate).Open)
	if err != nil {
		return 0, err
	}
	return time.Duration(replied - at), w.whole(ctx)
}

// cut does something to all that joins a server to the others.
func (w *world) cut(alone *natsServer, do func(*proxy.Gate)) {
	for _, s := range w.servers {
		for _, p := range s.routes {
			if s == alone || p.Target() == alone.routing() {
				do(&p.There)
				do(&p.Back)
			}
		}
	}
}

// floods is how many requests each way of a flood takes, and floodCaller the
// number of the caller that they are of.
const (
	floods      = 20
	floodCaller = 1 << 20
)

// flood sends requests to a candidate in each way that there is, as clients do
// that have not heard of another leader. What becomes of them is unknown.
func (w *world) flood(to *candidate, term uint64) error {
	subjects := []string{
		fmt.Sprint("aegis.lead.fault.v1.FaultService.Act.default.", term),
		"aegis.lead.fault.v1.FaultService.Act.default.any",
		"aegis.inst." + to.order.Instance + ".fault.v1.FaultService.Act",
	}
	for range floods {
		for _, subject := range subjects {
			w.flooded++
			r := history.Record{
				Kind: history.Called, Outcome: history.Unknown, Begin: history.Now(),
				ID: floodCaller<<roles.CallerShift | w.flooded, Key: uint32(w.flooded % registerKeys),
			}
			r.End = r.Begin
			data, err := proto.Marshal(&faultv1.ActRequest{Id: r.ID, Key: r.Key, Called: r.Begin})
			if err != nil {
				return err
			}
			w.unanswered = append(w.unanswered, r)
			if err := w.monitor.PublishRequest(subject, w.monitor.NewInbox(), data); err != nil {
				return err
			}
		}
	}
	return w.monitor.Flush()
}
