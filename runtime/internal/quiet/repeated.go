package quiet

import (
	"maps"
	"regexp"
	"sync"
	"time"
)

// Repeated keeps an error that comes again and again to one line a minute, with how
// often it has come meanwhile: there may be many a second for as long as it lasts. It is safe for concurrent use.
type Repeated struct {
	mu   sync.Mutex
	told map[string]*repetition
}

type repetition struct {
	at    time.Time // when it was told
	since int       // how often it has come since then
}

// maxRepeated bounds the errors that are told within a minute. All that exceed it
// count as one.
const maxRepeated = 64

// varying are the parts of subjects that are another one each time, where what NATS
// says about it is the same: names of consumers that are made for a while,
// what is acknowledged, and where a reply goes.
var varying = regexp.MustCompile(`(\.CONSUMER\.(?:CREATE|INFO|DELETE|MSG\.NEXT)\.[^."]+\.|\$JS\.ACK\.|_INBOX\.)[^"]+`)

// Tell calls log unless the error was told within a minute; more says how often it
// has come since, where it has.
func (r *Repeated) Tell(text string, log func(more ...any)) {
	text = varying.ReplaceAllString(text, "${1}*")
	now := time.Now()
	r.mu.Lock()
	if r.told[text] == nil && len(r.told) >= maxRepeated {
		text = "" // one of many
	}
	known := r.told[text]
	if known != nil && now.Sub(known.at) < Interval {
		known.since++
		r.mu.Unlock()
		return
	}
	maps.DeleteFunc(r.told, func(_ string, old *repetition) bool { return now.Sub(old.at) >= Interval })
	if r.told == nil {
		r.told = make(map[string]*repetition)
	}
	r.told[text] = &repetition{at: now}
	r.mu.Unlock()
	if known != nil && known.since > 0 {
		log("repeated", known.since)
		return
	}
	log()
}
