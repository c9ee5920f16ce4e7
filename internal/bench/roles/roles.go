// Package roles has what the processes of the benchmark do, each of them this binary
// again: serve, call, publish, or run a NATS server. The contenders stand side by
// side: files that begin with aegis_ use the generated code, files that begin with
// plain_ are what a careful team writes by hand with nats.go.
//
//	*_calls.go       unary calls; instances that the client selects, slow services
//	*_leader.go      the same method for any instance and for the leader alone
//	*_streams.go     streams; aegis_streamcost.go: idle streams and slow readers
//	*_large.go       messages that are larger than NATS takes
//	*_broadcast.go   calls to all instances
//	*_messages.go    events and commands
//	*_rest.go        instances that nobody calls
package roles

import (
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// All are the roles by their names.
func All() map[string]child.Start {
	return with(restRoles(), map[string]child.Start{
		"nats":            startNATS,
		"aegis-service":   startAegisEcho,
		"aegis-client":    startAegisClient,
		"plain-service":   startPlainEcho,
		"plain-client":    startPlainClient,
		"bench-service":   startBenchService,
		"balanced-client": startBalancedClient,
		"leader-client":   startLeaderClient,
		"aegis-messages":  startAegisMessages,
		"plain-messages":  startPlainMessages,

		"stream-service": startStreamService,
		"stream-client":  startStreamClient,
		"plain-source":   startPlainSource,
		"plain-reader":   startPlainReader,
		"large-service":  startLargeService,
		"large-client":   startLargeClient,
		"plain-large":    startPlainLarge,
		"plain-taker":    startPlainTaker,
		"all-services":   startAllServices,
		"all-client":     startAllClient,
		"plain-all":      startPlainAll,
		"plain-asker":    startPlainAsker,

		"queue-client": startSelecting(aegis.QueueGroup()),
		"turns-client": startSelecting(aegis.RoundRobin()),
		"least-client": startSelecting(aegis.LeastLoaded()),
		"late-service": startLateService,

		"slow-service": startSlowService,
		"flood-client": startFloodClient,
	})
}

// What the processes can be asked for, each with an order of its own.
const (
	OpLoad    = "load"    // call without a pause: load.Order
	OpPaced   = "paced"   // call at a rate: load.PacedOrder
	OpFlood   = "flood"   // call at a rate, and beside that gently: load.FloodOrder
	OpPull    = "pull"    // messages of a stream from the server: child.Flow
	OpPush    = "push"    // messages of a stream to the server: child.Flow
	OpChat    = "chat"    // a message and its answer on open streams: load.Order
	OpIdle    = "idle"    // open so many streams and keep them
	OpMemory  = "memory"  // of the process, in bytes
	OpSlow    = "slow"    // read one message a second of an endless stream
	OpReply   = "reply"   // a large message comes back: child.Flow
	OpRequest = "request" // a large message is sent: child.Flow
	OpTell    = "tell"    // broadcast

	OpCore    = "core"    // publish core events: load.Order
	OpDurable = "durable" // publish durable events, each with its acknowledgement: load.Order
	OpAsync   = "async"   // publish durable events, many in flight: load.Order
	OpConsume = "consume" // handle durable events that are there: ConsumeOrder
	OpCommand = "command" // send commands and wait for their results: load.Order
	OpStored  = "stored"  // the same, and those of the hand-written queue are stored too
)

const (
	// connectLimit bounds how long a role may take to begin.
	connectLimit = 20 * time.Second
	// missingAfter is when messages that have not come are taken to be lost.
	missingAfter = 20 * time.Second

	// Megabyte is a million bytes.
	Megabyte = 1e6
)

// flowOp measures what carries messages in one direction.
func flowOp(carry func(child.Flow) error) child.Op {
	return child.Typed(func(o child.Flow) (*child.FlowResult, error) {
		return child.MeasureFlow(o, func() error { return carry(o) })
	})
}
