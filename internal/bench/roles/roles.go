package roles

import (
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func All() map[string]child.Start {
	return map[string]child.Start{
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
	}
}

// What the processes can be asked for, each with an order of its own.
const (
	OpLoad    = "load"    // call without a pause: loadOrder
	OpPaced   = "paced"   // call at a rate: pacedOrder
	OpFlood   = "flood"   // call at a rate, and beside that gently: offerOrder
	OpPull    = "pull"    // messages of a stream from the server: child.Flow
	OpPush    = "push"    // messages of a stream to the server: child.Flow
	OpChat    = "chat"    // a message and its answer on open streams: loadOrder
	OpIdle    = "idle"    // open so many streams and keep them
	OpMemory  = "memory"  // of the process, in bytes
	OpSlow    = "slow"    // read one message a second of an endless stream
	OpReply   = "reply"   // a large message comes back: child.Flow
	OpRequest = "request" // a large message is sent: child.Flow
	OpTell    = "tell"    // broadcast

	OpCore    = "core"    // publish core events: loadOrder
	OpDurable = "durable" // publish durable events, each with its acknowledgement: loadOrder
	OpAsync   = "async"   // publish durable events, many in flight: loadOrder
	OpConsume = "consume" // handle durable events that are there: consumeOrder
	OpCommand = "command" // send commands and wait for their results: loadOrder
	OpStored  = "stored"  // the same, and those of the hand-written queue are stored too
)

const (
	// connectLimit bounds how long a role may take to begin.
	connectLimit = 20 * time.Second
	// missingAfter is when messages that have not come are taken to be lost.
	missingAfter = 20 * time.Second

	Megabyte = 1e6
)
