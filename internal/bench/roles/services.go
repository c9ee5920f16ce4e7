package roles

import (
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	// LateTime is how long a call of the slow one of several instances takes. It never
	// has as many as lateBound at once.
	LateTime  = 20 * time.Millisecond
	lateBound = 4096

	// SlowTime is how long a call of the flooded service takes.
	SlowTime = 10 * time.Millisecond
	// SlowBound is how many calls it handles at a time.
	SlowBound = 64
)

func startLateService(url string) (map[string]child.Op, func(), error) {
	return startEchoServer(url, echoServer{takes: LateTime}, aegis.WithMaxConcurrency(lateBound))
}

func startSlowService(url string) (map[string]child.Op, func(), error) {
	return startEchoServer(url, echoServer{takes: SlowTime}, aegis.WithMaxConcurrency(SlowBound))
}
