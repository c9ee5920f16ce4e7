package spec

import (
	"math"
	"time"

	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Storage has the values of the options of a stream.
type Storage struct {
	Replicas     int           // 0 if the .proto file gives no number
	MaxAge       time.Duration // 0 for no limit
	MaxBytes     int64         // 0 for no limit
	DedupeWindow time.Duration // how long the id of a message is remembered
}

const (
	defaultEventMaxAge  = 7 * day
	defaultDedupeWindow = 2 * time.Minute
	maxReplicas         = 5
)

// eventStorage checks the storage of events. It returns nil if no event is durable.
func (c *checker) eventStorage(at Place, opts *aegisv1.Storage, durable bool) *Storage {
	if opts != nil && !durable {
		c.addf(at, "the service has no durable event, so nothing is stored; leave it out, or write durable: true in an event")
	}
	before := len(c.problems)
	s := c.storage(at, opts)
	s.MaxAge = c.duration(at.Field("max_age"), opts.GetMaxAge(), maxAgeRange, defaultEventMaxAge)
	if len(c.problems) == before && s.DedupeWindow > s.MaxAge {
		c.shortenDedupe(at, opts, s)
	}
	if !durable {
		return nil
	}
	return s
}

// shortenDedupe shortens the default window to the age, because NATS refuses a longer
// one. A window that is written in the .proto file is a mistake instead.
func (c *checker) shortenDedupe(at Place, opts *aegisv1.Storage, s *Storage) {
	if opts.GetDedupeWindow() != nil {
		c.addf(at.Field("dedupe_window"), "%s is more than the max_age of %s; write at most that",
			short(s.DedupeWindow), short(s.MaxAge))
	}
	s.DedupeWindow = s.MaxAge
}

// commandStorage checks the storage of commands. It returns nil if there are none.
func (c *checker) commandStorage(at Place, opts *aegisv1.Storage, commands bool) *Storage {
	if opts != nil && !commands {
		c.addf(at, "the service has no command, so nothing is stored; leave it out, or make a method a command")
	}
	if opts.GetMaxAge() != nil {
		c.addf(at.Field("max_age"), "a command must not be dropped because of its age; leave it out, or give the send an expiry")
	}
	s := c.storage(at, opts)
	if !commands {
		return nil
	}
	return s
}

// storage checks the options that events and commands have in common.
func (c *checker) storage(at Place, opts *aegisv1.Storage) *Storage {
	s := &Storage{}
	if opts != nil && opts.Replicas != nil {
		s.Replicas = c.replicas(at.Field("replicas"), opts.GetReplicas())
	}
	if opts != nil && opts.MaxBytes != nil {
		s.MaxBytes = int64(c.integer(at.Field("max_bytes"), opts.GetMaxBytes(), math.MaxInt64))
	}
	s.DedupeWindow = c.duration(at.Field("dedupe_window"), opts.GetDedupeWindow(), dedupeWindowRange, defaultDedupeWindow)
	return s
}

func (c *checker) replicas(at Place, n uint32) int {
	if n > maxReplicas || n%2 == 0 {
		c.addf(at, "%d is not a number of replicas; write 1, 3 or 5", n)
		return 1
	}
	return int(n)
}
