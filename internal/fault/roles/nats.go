//go:build linux

package roles

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// NATSOrder says how to run a NATS server.
type NATSOrder struct {
	Name  string
	Port  int
	Store string
	Log   string
	Tags  []string

	// Of a cluster only.
	Cluster string
	Routing int      // the port for routes
	Peers   []string // what to connect to
}

// runNATS runs a NATS server until the parent goes away.
func runNATS(o NATSOrder) error {
	opts := &server.Options{
		ServerName: o.Name, Host: "127.0.0.1", Port: o.Port,
		JetStream: true, StoreDir: o.Store,
		LogFile: o.Log, NoSigs: true, Tags: o.Tags,
	}
	if o.Cluster != "" {
		opts.Cluster = server.ClusterOpts{Name: o.Cluster, Host: "127.0.0.1", Port: o.Routing, NoAdvertise: true}
		for _, peer := range o.Peers {
			u, err := url.Parse("nats-route://" + peer)
			if err != nil {
				return fmt.Errorf("route: %w", err)
			}
			opts.Routes = append(opts.Routes, u)
		}
	}
	s, err := embednats.Run(opts)
	if err != nil {
		return err
	}
	sayReady()
	awaitParent(func(line string) {
		if connection, ok := strings.CutPrefix(line, CommandCount+" "); ok {
			say(EventCount, countMessages(s.Server, connection), 0)
			say(EventDone, 0, 0)
		}
		if bytes, ok := strings.CutPrefix(line, CommandLimit+" "); ok {
			limitStore(s.Server, bytes)
		}
	})
	s.Shutdown()
	return nil
}

// CommandCount asks for the messages of the connections of a name.
const CommandCount = "count"

// CommandLimit says how many bytes the account may store.
const CommandLimit = "limit"

// limitStore does what a reload of the configuration does.
func limitStore(s *server.Server, bytes string) {
	n, err := strconv.ParseInt(bytes, 10, 64)
	if err == nil {
		err = s.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{"": {
			MaxMemory: -1, MaxStore: n, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
		}})
	}
	if err != nil {
		slog.Error("the account was not limited", "to", bytes, "err", err)
	}
}

func countMessages(s *server.Server, connection string) uint64 {
	var n uint64
	all, err := s.Connz(&server.ConnzOptions{})
	if err != nil {
		return 0
	}
	for _, c := range all.Conns {
		if c.Name == connection {
			n += uint64(c.InMsgs + c.OutMsgs)
		}
	}
	return n
}
