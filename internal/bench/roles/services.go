package roles

import (
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	// LateTime is what the slow one of several instances takes, and lateBound is more
	// calls than it ever has at once.
	LateTime  = 20 * time.Millisecond
	lateBound = 4096

	// SlowTime is what the service takes that is flooded, and slowBound how many calls
	// it handles at a time.
	SlowTime  = 10 * time.Millisecond
	SlowBound = 64
)

func startLateService(url string) (map[string]child.Op, func(), error) {
	return startEchoServer(url, echoServer{takes: LateTime}, aegis.WithMaxConcurrency(lateBound))
}

func startSlowService(url string) (map[string]child.Op, func(), error) {
	return startEchoServer(url, echoServer{takes: SlowTime}, aegis.WithMaxConcurrency(SlowBound))
}
