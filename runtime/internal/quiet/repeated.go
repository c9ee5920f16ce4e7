package quiet

import (
	"maps"
	"regexp"
	"sync"
	"time"
)

// Repeated writes one line a minute about an error that comes again and again, with the
// number of times that it has come meanwhile: it may come many times a second for as long
// as its cause lasts. It is safe for concurrent use.
type Repeated struct {
	mu   sync.Mutex             // guards told, and what it holds
	told map[string]*repetition // by the text of the error
}

type repetition struct {
	at    time.Time // when the last line was written
	since int       // how often the error has come since then
}

// maxRepeated bounds how many different errors are told within a minute. All others count
// as one.
const maxRepeated = 64

// varying matches the parts of subjects that differ each time, in errors that are the
// same: names of consumers that live only for a while, acknowledged messages, and reply
// subjects.
var varying = regexp.MustCompile(`(\.CONSUMER\.(?:CREATE|INFO|DELETE|MSG\.NEXT)\.[^."]+\.|\$JS\.ACK\.|_INBOX\.)[^"]+`)

// Tell calls log unless the error was told within a minute. more says how often the error
// has come since the last line, if it has.
func (r *Repeated) Tell(text string, log func(more ...any)) {
	text = varying.ReplaceAllString(text, "${1}*")
	now := time.Now()
	r.mu.Lock()
	if r.told[text] == nil && len(r.told) >= maxRepeated {
		text = "" // counts as one with all others
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
