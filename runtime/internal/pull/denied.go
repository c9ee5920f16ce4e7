package pull

import (
	"fmt"
	"strings"

	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

// concerns reports whether a denial is about this puller: NATS has refused a request for
// messages, or an acknowledgement.
func (p *Puller) concerns(d *denials.Denial) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.source.Subject != "" && (d.Publishing(p.source.Subject) || p.acks(d))
}

// acks reports whether a denial is about an acknowledgement: the names of stream and
// consumer stand one after the other in both forms of the subjects of acknowledgements.
// p.mu is held.
func (p *Puller) acks(d *denials.Denial) bool {
	_, names, _ := strings.Cut(p.source.Subject, ".CONSUMER.MSG.NEXT.")
	return !d.Subscribe && names != "" && strings.HasPrefix(d.Subject, "$JS.ACK.") && strings.Contains(d.Subject, "."+names+".")
}

// denied takes a denial that concerns this puller. NATS does not answer a denied request,
// so that no messages are outstanding; the puller asks again later.
func (p *Puller) denied(d *denials.Denial) {
	p.mu.Lock()
	name, acks := p.source.Name, p.acks(d)
	switch {
	case acks:
		p.unacked = true
	case p.open:
		p.request.outstanding = 0
		p.refusals.count++
		p.rest(backoff(p.refusals.count))
	}
	stopping := p.stopping
	p.mu.Unlock()
	switch {
	case stopping:
	case acks:
		p.report(acking, fmt.Errorf("%s: %w an acknowledgement, so that what was handled is delivered again; see the least permissions in docs/protocol.md: %w",
			name, errDenied, d.Err))
	default:
		p.report(pulling, fmt.Errorf("%s: %w to %s; see the least permissions in docs/protocol.md: %w", name, errDenied, d.Subject, d.Err))
	}
}
