package bus

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxOutbox is what an Outbox holds at most, in bytes: as much as nats.go
// buffers unless told otherwise.
const maxOutbox = 8 << 20

// Outbox sends replies. It is safe for concurrent use. Those made while NATS is away it keeps until NATS is
// back, as their callers may still wait. nats.go keeps nothing, see Connect.
type Outbox struct {
	nc *nats.Conn

	mu   sync.Mutex
	kept []*nats.Msg
	size int
}

var errFull = fmt.Errorf("%s, and the replies that are kept until then take %d bytes, as much as they may", NotConnected, maxOutbox)

// Send sends a reply, or keeps a copy of it. Header and payload stay the caller's.
func (o *Outbox) Send(subject string, header nats.Header, payload []byte) error {
	var err error
	if header == nil {
		err = o.nc.Publish(subject, payload)
	} else {
		err = o.nc.PublishMsg(&nats.Msg{Subject: subject, Header: header, Data: payload})
	}
	if !errors.Is(err, nats.ErrReconnectBufExceeded) {
		return err
	}
	if !o.keep(subject, header, payload) {
		return errFull
	}
	if o.nc.IsConnected() { // again, so that nobody may come for it
		o.Flush()
	}
	return nil
}

// keep reports whether there was room.
func (o *Outbox) keep(subject string, header nats.Header, payload []byte) bool {
	msg := &nats.Msg{Subject: subject, Header: maps.Clone(header), Data: payload}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.size+msg.Size() > maxOutbox {
		return false
	}
	o.size += msg.Size()
	msg.Data = bytes.Clone(payload)
	o.kept = append(o.kept, msg)
	return true
}

// Kept returns how many replies are kept.
func (o *Outbox) Kept() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.kept)
}

// Flush sends what is kept; if NATS goes away again meanwhile, the rest stays.
func (o *Outbox) Flush() {
	o.mu.Lock()
	kept := o.kept
	o.kept, o.size = nil, 0
	o.mu.Unlock()
	for _, msg := range kept {
		// A reply that the new server finds too large ends at its caller's
		// deadline, as if the outage had eaten it.
		_ = o.Send(msg.Subject, msg.Header, msg.Data)
	}
}
