package main

import (
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	// lateTime is what the slow one of several instances takes, and lateBound is more
	// calls than it ever has at once.
	lateTime  = 20 * time.Millisecond
	lateBound = 4096

	// slowTime is what the service takes that is flooded, and slowBound how many calls
	// it handles at a time.
	slowTime  = 10 * time.Millisecond
	slowBound = 64
)

func startLateService(url string) (map[string]child.Op, func(), error) {
	return startEchoServer(url, echoServer{takes: lateTime}, aegis.WithMaxConcurrency(lateBound))
}

func startSlowService(url string) (map[string]child.Op, func(), error) {
	return startEchoServer(url, echoServer{takes: slowTime}, aegis.WithMaxConcurrency(slowBound))
}
