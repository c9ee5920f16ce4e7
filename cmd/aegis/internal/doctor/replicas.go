package doctor

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// enoughServers is the size of a cluster from which on a stream can survive the loss of a
// server.
const enoughServers = 3

// laggard is how far behind a replica may be without a finding.
const laggard = 30 * time.Second

func checkReplicas() Check {
	return Check{
		Name: "replicas", Looks: "whether streams and buckets survive the loss of a NATS server, and whether their replicas keep up",
		Reads: "the streams, the buckets, and the servers that NATS names",
		IDs:   words("ready single one leaderless behind unread"),
		run: func(ctx context.Context, l *look) []Finding {
			all, err := l.streams(ctx)
			if err != nil {
				return []Finding{unread("replicas.unread", "", "the streams", err)}
			}
			var own []*jetstream.StreamInfo
			for _, s := range all {
				if s.kind != kindNone {
					own = append(own, &s.StreamInfo)
				}
			}
			for _, find := range []func(context.Context) (*stream, error){l.leadersAt, l.registry} {
				if s, err := find(ctx); err == nil { // the check of buckets says why not
					own = append(own, &s.StreamInfo)
				}
			}
			return judgeReplicas(clusterSize(ctx, l, own), own)
		},
	}
}

// clusterSize returns how many NATS servers there are, as far as that can be seen.
func clusterSize(ctx context.Context, l *look, streams []*jetstream.StreamInfo) int {
	names := make(map[string]bool)
	for _, s := range streams {
		if s.Cluster == nil {
			continue
		}
		if s.Cluster.Leader != "" {
			names[s.Cluster.Leader] = true
		}
		for _, peer := range s.Cluster.Replicas {
			names[peer.Name] = true
		}
	}
	seen, err := l.servers(ctx)
	if err != nil {
		return len(names)
	}
	for _, s := range seen {
		if s.version != "" { // an address may be another one of a server that has a name
			names[s.name] = true
		}
	}
	return len(names)
}

// judgeReplicas judges the replicas of streams and buckets in a cluster of so many servers.
func judgeReplicas(servers int, streams []*jetstream.StreamInfo) []Finding {
	var found []Finding
	var single []string
	for _, s := range streams {
		c := &s.Config
		if c.Replicas <= 1 {
			single = append(single, c.Name)
		}
		found = append(found, judgePeers(s)...)
	}
	switch {
	case len(streams) == 0:
		return nil
	case servers >= enoughServers && len(single) > 0:
		found = append(found, warning("replicas.one", "",
			"there are %d NATS servers, and %s kept by one of them alone: %s; while that server is away nothing is stored there",
			servers, count(uint64(len(single)), "stream is", "streams are"), some(single)).
			so("set replicas: 3 in event_storage and command_storage of the proto, or Replicas of aegis.WithStorage, WithLeaderBucket and WithRegistryBucket; "+
				"or nats stream edit %s --replicas=3", single[0]))
	case len(single) > 0:
		found = append(found, info("replicas.single", "",
			"one NATS server is seen: what it keeps waits for it while it is away, and is lost with its disk").
			so("run three NATS servers as a cluster, and set replicas: 3, where that matters"))
	case len(found) == 0:
		found = append(found, ok("replicas.ready", "", "%s with 3 replicas or more that keep up", count(uint64(len(streams)), "stream", "streams")))
	}
	return found
}

// judgePeers judges the servers that keep one stream.
func judgePeers(s *jetstream.StreamInfo) []Finding {
	if s.Cluster == nil || s.Cluster.Name == "" {
		return nil
	}
	name := s.Config.Name
	if s.Cluster.Leader == "" {
		return []Finding{failure("replicas.leaderless", name, "no NATS server leads the stream: nothing can be stored or read").
			so("see which server is away: nats server report jetstream; two of three must be up")}
	}
	var found []Finding
	for _, peer := range s.Cluster.Replicas {
		if peer.Offline || !peer.Current && peer.Active > laggard {
			state := "is behind"
			if peer.Offline {
				state = "is away"
			}
			found = append(found, warning("replicas.behind", name+" "+peer.Name, "its replica on %s %s: another loss may stop the stream", peer.Name, state).
				so("see what ails that server: nats server report jetstream"))
		}
	}
	return found
}
