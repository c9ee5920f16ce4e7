package bus

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxOutbox is how many bytes an Outbox holds at most: as many as nats.go buffers by
// default.
const maxOutbox = 8 << 20

// Outbox sends replies. Replies of a time in which NATS is away are kept until NATS is
// back, as their callers may still wait; nats.go keeps nothing, see the options of package
// dial. It is safe for concurrent use.
type Outbox struct {
	nc *nats.Conn

	mu   sync.Mutex // guards both
	kept []*nats.Msg
	size int // of kept, in bytes
}

var errFull = fmt.Errorf("%s, and the replies that are kept until then take %d bytes, as much as they may", NotConnected, maxOutbox)

// Send sends a reply, or keeps a copy of it. The header and the payload stay the
// caller's.
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
	if o.nc.IsConnected() { // NATS is back already, and the Flush that follows may have missed this reply
		o.Flush()
	}
	return nil
}

// keep keeps a copy of a reply. It reports whether there was room.
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

// Flush sends the replies that are kept; if NATS goes away again meanwhile, the rest
// stays.
func (o *Outbox) Flush() {
	o.mu.Lock()
	kept := o.kept
	o.kept, o.size = nil, 0
	o.mu.Unlock()
	for _, msg := range kept {
		// If the new NATS server finds the reply too large, its caller waits until its
		// deadline, as if the reply was lost in the outage.
		_ = o.Send(msg.Subject, msg.Header, msg.Data)
	}
}
