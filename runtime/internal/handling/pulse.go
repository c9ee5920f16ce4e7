package handling

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// Pulse is what a process has on the subject that is its own: answers to those who ask
// whether the process lives, and messages to itself, which show after a pause from when
// on all that arrives is new.
type Pulse struct {
	PauseDetector

	nc       *nats.Conn
	subject  string
	instance string
	logger   *slog.Logger

	// Beat returns the heartbeat of a service that this instance would send now; nil for
	// none. It is set before any message arrives.
	Beat func(service string) []byte
}

// Init makes the pulse on the subject of the process. The process subscribes to it.
func (p *Pulse) Init(nc *nats.Conn, subject, instance string, logger *slog.Logger) {
	p.nc, p.subject, p.instance, p.logger = nc, subject, instance, logger
	p.Start(time.Now())
}

// Subject returns the subject.
func (p *Pulse) Subject() string { return p.subject }

// Take takes a message that has come on the subject.
func (p *Pulse) Take(msg *nats.Msg) {
	if msg.Reply == "" {
		p.Returned(msg.Data)
		return
	}
	if len(msg.Data) > 0 && p.Beat != nil { // the name of a service
		if beat := p.Beat(string(msg.Data)); beat != nil {
			_ = p.nc.Publish(msg.Reply, beat) // who asks waits for a second at most
			return
		}
	}
	// Another process wants the instance's name, and asks whether it is free. If the
	// answer is lost, heartbeats still tell.
	_ = p.nc.Publish(msg.Reply, []byte(p.instance))
}

// Run looks for pauses until stop is closed, and calls eachSecond once a second.
func (p *Pulse) Run(stop <-chan struct{}, eachSecond func(now time.Time)) {
	timer := time.NewTimer(TickInterval)
	defer timer.Stop()
	var second time.Time // when eachSecond was called
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		timer.Reset(p.Next())
		now := time.Now()
		p.tick(now)
		if now.Sub(second) >= time.Second-TickInterval/2 {
			second = now
			eachSecond(now)
		}
	}
}

func (p *Pulse) tick(now time.Time) {
	payload := p.Ticked(now)
	if payload == nil {
		return
	}
	p.logger.Warn("aegis: the process was paused; calls of unknown age are refused unless they are idempotent")
	if err := p.nc.Publish(p.subject, payload); err != nil {
		p.logger.Warn("aegis: cannot send to itself", "err", err)
	}
}
