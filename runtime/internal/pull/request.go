package pull

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRequests is how many requests of a puller wait at once, where each may
	// ask for little.
	maxRequests = 8
	// ampleWaiting is how many requests a consumer lets wait if no care is needed.
	ampleWaiting = 64
	// restless is how soon requests may follow each other while nothing comes.
	restless = 500 * time.Millisecond
)

// request is what a puller asks for, within what it may.
type request struct {
	maxBatch   int // 0: any
	maxExpires time.Duration
	alone      bool      // one at a time
	asked      time.Time // the last one
	came       time.Time // the last message

	n    int // of the body
	body []byte
	// Replies come to one of these subjects in turn, so that who hears that a
	// request was refused knows how much it asked for.
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

// limit takes what is known of the consumer.
func (r *request) limit(s Source) {
	r.maxBatch, r.maxExpires = s.MaxBatch, s.MaxExpires
	r.alone = s.MaxWaiting > 0 && s.MaxWaiting < ampleWaiting
	r.n = 0
}

// learn takes what a refusal says of what is allowed, and reports whether there
// is now less to ask for.
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

// next is how many messages the next request asks for if there is room for n
// beside what is outstanding. It is 0 as long as most has been asked for already.
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

// prepare returns where the answers to a request for n messages are to go, and
// what it says.
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
	if wait >= 2*heartbeat { // else its end comes soon enough
		body = append(body, `,"idle_heartbeat":`...)
		body = strconv.AppendInt(body, int64(heartbeat), 10)
	}
	return append(body, '}')
}

// sizeOf is how many messages the last request asked for whose answers come to
// this subject; 0 if there is none.
func (r *request) sizeOf(subject string) int {
	if i := slices.Index(r.replies[:], subject); i >= 0 {
		return r.sizes[i]
	}
	return 0
}

// ask asks for as many messages as there is room for, unless most of that has
// been asked for already. p.mu is held.
func (p *Puller) ask() {
	for p.open && !p.stopping {
		r := &p.asking.request
		n := r.next(p.asking.window-(p.kept.count-p.kept.parked)-p.asking.outstanding, p.asking.outstanding)
		if n == 0 {
			return
		}
		reply, body := r.prepare(n)
		now := time.Now()
		if p.asking.outstanding == 0 {
			p.alarm.seen = now
		}
		if p.o.NATS.PublishRequest(p.source.Subject, reply, body) != nil {
			return
		}
		r.asked = now
		p.asking.outstanding += n
	}
}
