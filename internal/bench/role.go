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

// callTimeout is the deadline of calls that are given none.
const callTimeout = 5 * time.Second
