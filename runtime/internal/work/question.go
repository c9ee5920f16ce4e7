package work

// question is the question how far a consumer is, which is asked less and less often while
// nothing happens. One goroutine uses it.
type question struct {
	puller interface { // of the consumer
		Received() uint64
		Held() int
	}

	before   uint64 // messages that the puller had taken when it was asked last but one
	received uint64 // and when it was asked last
	floor    uint64 // the last answer
	pause    int    // ticks between two questions while nothing happens
	passed   int    // ticks since the last one
}

// due reports at each tick whether to ask: messages have come since, or the pause is over.
func (q *question) due() bool {
	q.passed++
	return q.passed >= q.pause || q.puller.Received() != q.received
}

// ask notes that it is asked.
func (q *question) ask() {
	q.before, q.received, q.passed = q.received, q.puller.Received(), 0
}

// answer takes the answer. If that is no news, and no messages have come or are held, the
// pause doubles.
func (q *question) answer(floor uint64) {
	quiet := q.pause > 0 && floor == q.floor && q.before == q.received && q.puller.Held() == 0
	q.floor = floor
	if quiet {
		q.pause = min(2*q.pause, int(longestFloor/floorInterval))
	} else {
		q.pause = 1
	}
}
