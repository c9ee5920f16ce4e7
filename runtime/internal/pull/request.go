package pull

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRequests is how many requests of a puller wait at once if the consumer lets
	// each of them ask for few messages.
	maxRequests = 8
	// ampleWaiting is a max_waiting of a consumer that is enough for several requests of
	// all instances. If it is lower, each instance sends one request at a time.
	ampleWaiting = 64
	// restless is the least pause between requests while no messages come.
	restless = 500 * time.Millisecond
)

// request makes the requests for messages of a puller, within the limits of the consumer.
type request struct {
	maxBatch   int // messages that one request may ask for; 0: any number
	maxExpires time.Duration
	alone      bool // one request at a time

	outstanding int       // messages that were asked for and not delivered
	asked       time.Time // when the last request was sent
	came        time.Time // when the last message came
	seen        time.Time // when the last message or status came

	n    int // messages that body asks for
	body []byte
	// Answers come to one of these subjects in turn, so that the subject of a refusal
	// tells which request it is about, and so how many messages that has asked for.
	replies [maxRequests]string
	sizes   [maxRequests]int
	turn    int
}

func newRequest(inbox string) (r request) {
	for i := range r.replies {
		r.replies[i] = inbox + "." + strconv.Itoa(i)
	}
	return r
}

// limit takes the limits of a consumer that was found.
func (r *request) limit(s Source) {
	r.maxBatch, r.maxExpires = s.MaxBatch, s.MaxExpires
	r.alone = s.MaxWaiting > 0 && s.MaxWaiting < ampleWaiting
	r.n = 0
}

// learn takes a limit of the consumer from the text of a refusal, and reports whether
// requests are smaller from now on.
func (r *request) learn(description string) bool {
	if text, ok := strings.CutPrefix(description, "Exceeded MaxRequestBatch of "); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || r.maxBatch != 0 && r.maxBatch <= n {
			return false
		}
		r.maxBatch, r.n = n, 0
		return true
	}
	if text, ok := strings.CutPrefix(description, "Exceeded MaxRequestExpires of "); ok {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || r.maxExpires != 0 && r.maxExpires <= d {
			return false
		}
		r.maxExpires, r.n = d, 0
		return true
	}
	if strings.HasPrefix(description, "Exceeded MaxWaiting") && !r.alone {
		r.alone = true
		return true
	}
	return false
}

// next returns how many messages the next request asks for if there is room for n more
// than are outstanding. It is 0 while most of the room was asked for already, so that
// requests are few.
func (r *request) next(n, outstanding int) int {
	switch {
	case n <= 0 || outstanding > n || r.alone && outstanding > 0:
		return 0
	case r.maxBatch == 0 || n <= r.maxBatch:
		return n
	case outstanding > (maxRequests-1)*r.maxBatch:
		return 0
	default:
		return r.maxBatch
	}
}

// prepare returns the subject for the answers to a request for n messages, and its body.
func (r *request) prepare(n int) (reply string, body []byte) {
	r.turn = (r.turn + 1) % maxRequests
	r.sizes[r.turn] = n
	if r.n != n {
		r.n, r.body = n, r.text(n)
	}
	return r.replies[r.turn], r.body
}

func (r *request) text(n int) []byte {
	wait := expires
	if r.maxExpires != 0 {
		wait = min(wait, r.maxExpires)
	}
	body := make([]byte, 0, 80)
	body = append(body, `{"batch":`...)
	body = strconv.AppendInt(body, int64(n), 10)
	body = append(body, `,"expires":`...)
	body = strconv.AppendInt(body, int64(wait), 10)
	if wait >= 2*heartbeat { // else the end of the request comes soon enough
		body = append(body, `,"idle_heartbeat":`...)
		body = strconv.AppendInt(body, int64(heartbeat), 10)
	}
	return append(body, '}')
}

// sizeOf returns how many messages the last request asked for whose answers come to the
// subject; 0 if no request has this subject.
func (r *request) sizeOf(subject string) int {
	if i := slices.Index(r.replies[:], subject); i >= 0 {
		return r.sizes[i]
	}
	return 0
}

// ask asks for as many messages as there is room for, unless most of them were asked for
// already. p.mu is held.
func (p *Puller) ask() {
	r := &p.request
	for p.open && !p.stopping {
		n := r.next(p.window-(p.held.count-p.held.parked)-r.outstanding, r.outstanding)
		if n == 0 {
			return
		}
		reply, body := r.prepare(n)
		now := time.Now()
		if r.outstanding == 0 {
			r.seen = now
		}
		if p.o.NATS.PublishRequest(p.source.Subject, reply, body) != nil {
			return
		}
		r.asked = now
		r.outstanding += n
	}
}
