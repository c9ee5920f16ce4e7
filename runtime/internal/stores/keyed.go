package stores

import (
	"sync/atomic"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/epochs"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// KeyedEvent says to which subject an event with a key is published. It is safe for concurrent
// use.
type KeyedEvent struct {
	Stream *Stream
	Name   string // of the event
	// Partitions is the number of partitions where the stream says none.
	Partitions int

	now atomic.Pointer[numbering]
}

// numbering is the subjects of the epoch in force, as the metadata of the stream say it.
type numbering struct {
	from     *map[string]string
	subjects []string // by partition
}

// Subject returns the subject of a key by the hash of the key: the one in the epoch that was in
// force when the stream was looked for last.
func (e *KeyedEvent) Subject(hash uint64) *string {
	from, now := e.Stream.notes.Load(), e.now.Load()
	if now == nil || now.from != from {
		now = e.number(from)
		e.now.Store(now)
	}
	return &now.subjects[wire.Partition(hash, len(now.subjects))]
}

func (e *KeyedEvent) number(from *map[string]string) *numbering {
	epoch, n := 0, e.Partitions
	if from != nil {
		if h, _ := epochs.Of(*from, e.Name); h.Now() > 0 {
			epoch, n = h.Last(), h.Now()
		}
	}
	log, made := e.Stream.Want.Log, &numbering{from: from}
	for p := range n {
		made.subjects = append(made.subjects, log.Subjects.LogIn(log.Service, e.Name, epoch, p))
	}
	return made
}

// formerEpoch reports whether a message was refused because the number of partitions of its
// event was changed: the stream of a former epoch is sealed.
func formerEpoch(why *status.Status) bool {
	return why != nil && jserror.Code(why.Cause) == jserror.StreamSealed
}
