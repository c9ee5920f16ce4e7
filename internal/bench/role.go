package main

import (
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func roles() map[string]child.Start {
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
	opLoad    = "load"    // call without a pause: loadOrder
	opPaced   = "paced"   // call at a rate: pacedOrder
	opFlood   = "flood"   // call at a rate, and beside that gently: offerOrder
	opPull    = "pull"    // messages of a stream from the server: child.Flow
	opPush    = "push"    // messages of a stream to the server: child.Flow
	opChat    = "chat"    // a message and its answer on open streams: loadOrder
	opIdle    = "idle"    // open so many streams and keep them
	opMemory  = "memory"  // of the process, in bytes
	opSlow    = "slow"    // read one message a second of an endless stream
	opReply   = "reply"   // a large message comes back: child.Flow
	opRequest = "request" // a large message is sent: child.Flow
	opTell    = "tell"    // broadcast

	opCore    = "core"    // publish core events: loadOrder
	opDurable = "durable" // publish durable events, each with its acknowledgement: loadOrder
	opAsync   = "async"   // publish durable events, many in flight: loadOrder
	opConsume = "consume" // handle durable events that are there: consumeOrder
	opCommand = "command" // send commands and wait for their results: loadOrder
	opStored  = "stored"  // the same, and those of the hand-written queue are stored too
)

const (
	// connectLimit bounds how long a role may take to begin.
	connectLimit = 20 * time.Second
	// missingAfter is when messages that have not come are taken to be lost.
	missingAfter = 20 * time.Second

	megabyte = 1e6
)
