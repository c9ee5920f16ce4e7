//go:build linux

package roles

import (
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/election"
)

// CandidateOrder says how to stand for election.
type CandidateOrder struct {
	URL      string // one or several, the first one first
	Instance string
	History  string
	Room     int // records in the history
	Replicas int
	Election election.Config
}

// runCandidate serves the registers, and stands for election.
func runCandidate(o CandidateOrder) error {
	log, err := history.Create(o.History, o.Room)
	if err != nil {
		return err
	}
	return serve(serving{
		url: o.URL, instance: o.Instance, connect: connect,
		options: []aegis.ServerOption{aegis.WithLeaderBucket(aegis.BucketConfig{Replicas: o.Replicas})},
		register: func(conn *aegis.Conn, srv *aegis.Server) error {
			impl, err := newService(conn.NATS(), o, log)
			if err != nil {
				return err
			}
			go sayLeading(srv)
			return faultv1aegis.RegisterFaultServiceServer(srv, impl, aegis.WithElection(o.Election))
		},
	})
}
