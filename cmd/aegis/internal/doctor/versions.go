package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/natsversion"
)

// seenServer is a NATS server whose version is known, or not.
type seenServer struct {
	name    string // or its address
	version string // "" if it could not be read
}

const (
	// mostServers bounds how many servers of a cluster are asked for their version.
	mostServers = 16
	// greetingTimeout bounds the wait for the first line of a server.
	greetingTimeout = time.Second
	// serverVersionKey is the entry in which a server says its version in the metadata of a
	// stream that it answers about.
	serverVersionKey = "_nats.ver"
)

func checkVersions() Check {
	return Check{
		Name: "versions", Looks: "which patterns work with the NATS servers that can be seen",
		Reads: "the connection; the first line of the other servers of the cluster that NATS names; the metadata of streams",
		IDs:   words("calls commands partitions mixed unseen"),
		run: func(ctx context.Context, l *look) []Finding {
			seen, err := l.servers(ctx)
			if err != nil {
				return []Finding{unknown("versions.unseen", "", "the versions cannot be seen: %v", err).so("run aegis doctor again")}
			}
			return judgeVersions(seen)
		},
	}
}

// readServers returns the NATS servers that can be seen, that of the connection first.
func (l *look) readServers(ctx context.Context) ([]seenServer, error) {
	if !l.connected() {
		return nil, nats.ErrDisconnected
	}
	own := l.nc.ConnectedServerName()
	seen := []seenServer{{own, l.nc.ConnectedServerVersion()}}
	seen = append(seen, greetings(ctx, others(l.nc.Servers(), l.nc.ConnectedUrl()), own)...)
	streams, err := l.streams(ctx)
	if err != nil {
		return seen, nil //nolint:nilerr // the other sources have to do
	}
	for _, s := range streams {
		v := s.Config.Metadata[serverVersionKey]
		if v != "" && !slices.ContainsFunc(seen, func(one seenServer) bool { return one.version == v }) {
			seen = append(seen, seenServer{leaderOf(s), v})
		}
	}
	return seen, nil
}

// leaderOf returns the name of the server that leads a stream, as far as NATS tells it.
func leaderOf(s *stream) string {
	if s.Cluster != nil && s.Cluster.Leader != "" {
		return s.Cluster.Leader
	}
	return "the leader of " + s.Config.Name
}

// others returns the addresses of the servers beside the one of the connection.
func others(servers []string, connected string) []string {
	host := func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil || strings.HasPrefix(u.Scheme, "ws") {
			return ""
		}
		return u.Host
	}
	var addresses []string
	for _, raw := range servers {
		if h := host(raw); h != "" && h != host(connected) && !slices.Contains(addresses, h) && len(addresses) < mostServers {
			addresses = append(addresses, h)
		}
	}
	return addresses
}

// greetings reads the first line of servers, all at the same time. It leaves out the
// server of the connection, which may have several addresses.
func greetings(ctx context.Context, addresses []string, own string) []seenServer {
	seen := make([]seenServer, len(addresses))
	var wait sync.WaitGroup
	for i, address := range addresses {
		wait.Go(func() { seen[i] = greeting(ctx, address) })
	}
	wait.Wait()
	return slices.DeleteFunc(seen, func(s seenServer) bool { return s.name == own })
}

// greeting reads the line with which a NATS server greets before it asks who connects.
func greeting(ctx context.Context, address string) seenServer {
	seen := seenServer{name: address}
	dialer := net.Dialer{Timeout: greetingTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return seen
	}
	defer func() { _ = conn.Close() }() // nothing was written
	if err := conn.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return seen
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return seen
	}
	var info struct {
		Name    string `json:"server_name"`
		Version string `json:"version"`
	}
	if body, ok := strings.CutPrefix(line, "INFO "); ok && json.Unmarshal([]byte(body), &info) == nil && info.Version != "" {
		seen.version = info.Version
		if info.Name != "" {
			seen.name = info.Name
		}
	}
	return seen
}

// judgeVersions says which patterns work with servers of these versions.
func judgeVersions(seen []seenServer) []Finding {
	var found []Finding
	var unseen, names []string
	var oldest natsversion.Version
	oldestName, known := "", false
	versions := map[string]bool{}
	for _, s := range seen {
		v, readable := natsversion.Parse(s.version)
		if !readable {
			unseen = append(unseen, s.name)
			continue
		}
		versions[s.version] = true
		names = append(names, s.name+" "+s.version)
		if !known || v.Before(oldest) {
			oldest, oldestName, known = v, s.name, true
		}
	}
	if len(unseen) > 0 {
		found = append(found, unknown("versions.unseen", "", "the version of %s cannot be seen from here", some(unseen)).
			so("see what nats server list says, as a user of the system account; the oldest server with JetStream counts"))
	}
	if !known {
		return found
	}
	if len(versions) > 1 {
		found = append(found, warning("versions.mixed", "", "the NATS servers have different versions: %s", strings.Join(names, ", ")).
			so("upgrade all NATS servers to one version; the oldest one counts until then"))
	}
	return append(found, judgePatterns(oldest, oldestName)...)
}

func judgePatterns(oldest natsversion.Version, name string) []Finding {
	at := fmt.Sprintf("nats-server %s (%s)", oldest, name)
	upgrade := func(f Finding, to natsversion.Version) Finding {
		return f.so("upgrade the NATS servers to %s or later; no program needs a restart for that", to)
	}
	if oldest.Before(oldestForCalls) {
		return []Finding{upgrade(failure("versions.calls", "", "%s is older than %s: no pattern was tried with it", at, oldestForCalls), oldestForCalls)}
	}
	found := []Finding{ok("versions.calls", "", "calls, streams, broadcasts, events, leaders and discovery work with %s", at)}
	if oldest.Before(oldestForPartitions) {
		found = append(found, upgrade(info("versions.partitions", "",
			"%s keeps no metadata: that the numbers of partitions of an event agree is not compared", at),
			oldestForPartitions))
	}
	if oldest.Before(oldestForCommands) {
		return append(found, upgrade(warning("versions.commands", "", "commands need nats-server %s on every server with JetStream, and %s is older; "+
			"a send is FAILED_PRECONDITION", oldestForCommands, at), oldestForCommands))
	}
	return append(found, ok("versions.commands", "", "commands work with %s", at))
}
