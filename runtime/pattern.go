package aegis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// patternName is a method's pattern as it travels in the registry and in NATS
// micro.
func patternName(m *spec.Method) string {
	if m.Event != nil && m.Event.Durable {
		return "durable_event"
	}
	return strings.ReplaceAll(m.Pattern.String(), " ", "_")
}

// patternOf is patternName with what else decides who gets a message: the group of
// a leader.
func patternOf(m *spec.Method) string {
	name := patternName(m)
	if m.Pattern == spec.Command && m.Group != "" {
		name = "single_active_" + name
	}
	if m.Group != "" && m.Group != spec.DefaultGroup {
		name += ":" + m.Group
	}
	return name
}

// patternsOf are the patterns of methods as a record has them.
func patternsOf(methods []*spec.Method) map[string]string {
	patterns := make(map[string]string)
	for _, m := range methods {
		if p := patternOf(m); p != registry.LoadBalanced {
			patterns[m.Name] = p
		}
	}
	return patterns
}

// patterns compares the patterns of the services that a connection uses with those
// that instances have in the registry: what a pattern that was changed on one side
// alone loses, it loses in silence. It looks in the background, at a few records,
// and only says what it finds.
type patterns struct {
	conn *Conn
	news chan struct{}

	mu       sync.Mutex
	running  bool
	services map[string]*spec.Service // that are looked for now and then
	doubted  map[string]time.Time     // when a call found nobody, last
	due      map[string]*spec.Service
	told     map[string]bool
	denied   bool // this user may not read the registry
}

const (
	// patternDelay keeps the look apart from what a process begins with.
	patternDelay = time.Second
	// patternInterval is how often it is looked for instances that came later.
	patternInterval = 5 * time.Minute
	doubtInterval   = time.Minute
	// patternRecords is how many records of a service are read.
	patternRecords = 16
	patternTimeout = 2 * time.Second
)

func (p *patterns) init(c *Conn) { p.conn, p.news = c, make(chan struct{}, 1) }

// use has the service of a publisher, a sender of commands or a server compared.
func (p *patterns) use(service *spec.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.services == nil {
		p.services = make(map[string]*spec.Service)
	}
	if p.services[service.Name] == nil {
		p.services[service.Name] = service
		p.look(service)
	}
}

// doubt has the service of a call compared that nobody took.
func (p *patterns) doubt(service *spec.Service, err *Error) {
	if err.Reason() != ReasonNoResponders && err.Reason() != ReasonNotActive && err.Reason() != ReasonNoMethod {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.doubted[service.Name]) < doubtInterval {
		return
	}
	if p.doubted == nil {
		p.doubted = make(map[string]time.Time)
	}
	p.doubted[service.Name] = time.Now()
	p.look(service)
}

// look has a service compared soon. p.mu is held.
func (p *patterns) look(service *spec.Service) {
	if p.denied {
		return
	}
	if p.due == nil {
		p.due = make(map[string]*spec.Service)
	}
	p.due[service.Name] = service
	if !p.running {
		p.running = p.conn.start(func() { p.run(p.conn.ctx) })
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *patterns) run(ctx context.Context) {
	ticker := time.NewTicker(patternInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.mu.Lock()
			for _, service := range p.services {
				p.look(service)
			}
			p.mu.Unlock()
			continue
		case <-p.news:
		case <-ctx.Done():
			return
		}
		if bus.Sleep(ctx, patternDelay, time.Now().Add(time.Hour)) {
			p.compareAll(ctx)
		}
	}
}

func (p *patterns) compareAll(ctx context.Context) {
	p.mu.Lock()
	due := p.due
	p.due = nil
	p.mu.Unlock()
	for _, service := range due {
		for _, name := range []string{service.Name, wire.SubscribersOf(service.Name)} {
			for r := range p.records(ctx, name) {
				p.compare(service, r)
			}
		}
	}
}

// compare says in what a record differs, once.
func (p *patterns) compare(service *spec.Service, r *registry.Record) {
	for _, m := range service.Methods {
		here := patternOf(m)
		there, known := r.Pattern(m.Name)
		if !known || there == here || !p.first(service.Name+"."+m.Name+" "+there) {
			continue
		}
		p.conn.logger.Warn("aegis: a method has another pattern at an instance that runs: what one side sends may not reach the other, and nobody is told; "+
			"generate and deploy both from one proto", "service", service.Name, "method", m.Name, "here", here, "there", there, "there_instance", r.Instance)
	}
}

func (p *patterns) first(what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told[what] {
		return false
	}
	if p.told == nil {
		p.told = make(map[string]bool)
	}
	p.told[what] = true
	return true
}

// storedRecord is what JetStream answers about a message of the registry's bucket.
type storedRecord struct {
	Message *struct {
		Subject  string `json:"subject"`
		Sequence uint64 `json:"seq"`
		Data     []byte `json:"data"`
	} `json:"message"`
}

// records yields some records of a service, the oldest first. It needs no
// permission but the one to read a message, and no consumer.
func (p *patterns) records(ctx context.Context, service string) func(func(*registry.Record) bool) {
	return func(yield func(*registry.Record) bool) {
		bucket := wire.RegistryBucket(p.conn.ns)
		prefix := "$KV." + bucket + "."
		sequence := uint64(1)
		for range patternRecords {
			stored := p.read(ctx, prefix+wire.RegistryKey(service, "*"), sequence)
			if stored == nil || stored.Message == nil {
				return
			}
			sequence = stored.Message.Sequence + 1
			_, instance, _ := wire.ParseRegistryKey(strings.TrimPrefix(stored.Message.Subject, prefix))
			r, err := registry.Decode(service, instance, stored.Message.Data)
			if err == nil && !yield(r) { // others complain of what is no record
				return
			}
		}
	}
}

// read returns the first message from a sequence on; nil where there is none, or
// it cannot be read.
func (p *patterns) read(ctx context.Context, filter string, sequence uint64) *storedRecord {
	ctx, cancel := context.WithTimeout(ctx, patternTimeout)
	defer cancel()
	body := fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q}`, sequence, filter)
	subject := p.subject()
	msg, err := p.conn.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		if last, ok := denials.RefusesPublishing(p.conn.nc.LastError()); ok && last == subject {
			p.mu.Lock()
			p.denied = true // to ask again would be an error in NATS's log each time
			p.mu.Unlock()
		}
		if !errors.Is(err, nats.ErrNoResponders) {
			p.conn.logger.Debug("aegis: the registry cannot be read, so that patterns are not compared", "subject", subject, "err", err)
		}
		return nil
	}
	var stored storedRecord
	if json.Unmarshal(msg.Data, &stored) != nil {
		return nil
	}
	return &stored
}

func (p *patterns) subject() string {
	return p.conn.stores.MsgGet("KV_" + wire.RegistryBucket(p.conn.ns))
}

// expected reports whether an error is NATS's refusal of the look, which is
// nothing that anybody has to know of.
func (p *patterns) expected(err error) bool {
	subject, ok := denials.RefusesPublishing(err)
	return ok && subject == p.subject()
}
