package board

import (
	"fmt"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// Server is the NATS server of the monitor's connection.
type Server struct {
	Name, Version, Cluster string
	// JetStream: the account has JetStream.
	JetStream bool
}

// link is the monitor's connection.
type link struct {
	connected bool
	ever      bool      // there was a connection once
	since     time.Time // of connected
	server    Server
}

// sources are in the order in which documents have them.
type sources [5]monitorapi.Source

func newSources() sources {
	var s sources
	for i, name := range []monitorapi.SourceName{
		monitorapi.SourceInstances, monitorapi.SourceFigures, monitorapi.SourceLeaders,
		monitorapi.SourceWork, monitorapi.SourceDeadLetters,
	} {
		s[i] = monitorapi.Source{Name: name, State: monitorapi.SourceLoading}
	}
	return s
}

func (s *sources) named(name monitorapi.SourceName) *monitorapi.Source {
	for i := range s {
		if s[i].Name == name {
			return &s[i]
		}
	}
	return nil
}

// Connected takes in that the connection is there.
func (b *Board) Connected(now time.Time, s Server) {
	b.mu.Lock()
	defer b.unlock()
	if !b.link.connected || b.link.server != s {
		b.changed()
	}
	if !b.link.connected {
		text := "Connected to NATS"
		if b.link.ever {
			text = "Connected to NATS again, after " + length(now.Sub(b.link.since))
		}
		b.link.connected, b.link.ever, b.link.since, b.urgent = true, true, now, true
		b.tell(now, monitorapi.Event{Kind: monitorapi.EventConnection, Level: monitorapi.LevelOK, Text: text})
	}
	b.link.server = s
}

// Disconnected takes in that the connection is lost. Of leaders nothing is heard from now on.
func (b *Board) Disconnected(now time.Time) {
	b.mu.Lock()
	defer b.unlock()
	b.blind()
	if !b.link.connected {
		return
	}
	b.link.connected, b.link.since, b.link.server, b.urgent = false, now, Server{}, true
	b.tell(now, monitorapi.Event{Kind: monitorapi.EventConnection, Level: monitorapi.LevelCritical, Text: "The connection to NATS is lost"})
}

// Source takes in how a source is, and when it was read: now, if the state is ready. A
// problem says what is missing and what to do.
func (b *Board) Source(now time.Time, name monitorapi.SourceName, state monitorapi.SourceState, problem string) {
	b.mu.Lock()
	defer b.unlock()
	s := b.sources.named(name)
	if s == nil {
		return
	}
	problem = clip(problem)
	if s.State != state || s.Problem != problem || state == monitorapi.SourceReady {
		b.changed()
	}
	s.State, s.Problem = state, problem
	if state == monitorapi.SourceReady {
		s.At = &now
	}
}

// Ready reports whether there is a connection, and instances and figures were read. Figures
// that NATS does not allow to be read are not waited for.
func (b *Board) Ready() bool {
	b.mu.Lock()
	defer b.unlock()
	figures := b.sources.named(monitorapi.SourceFigures)
	return b.link.connected && b.sources.named(monitorapi.SourceInstances).At != nil &&
		(figures.At != nil || figures.State == monitorapi.SourceDenied)
}

// Header returns the header alone, of documents that others fill.
func (b *Board) Header(now time.Time) monitorapi.Header {
	b.mu.Lock()
	defer b.unlock()
	return b.header(now)
}

func (b *Board) header(now time.Time) monitorapi.Header {
	h := monitorapi.Header{
		At: now, Revision: b.revision,
		NATS: monitorapi.NATS{
			Connected: b.link.connected, Since: b.link.since, Namespace: b.config.Namespace,
			Server: b.link.server.Name, Version: b.link.server.Version, Cluster: b.link.server.Cluster, JetStream: b.link.server.JetStream,
		},
		Verdict: b.verdict(),
	}
	for _, s := range b.sources {
		if s.At != nil {
			at := *s.At
			s.At = &at
		}
		if s.Problem == "" {
			s.Problem = b.overflow(s.Name)
		}
		h.Sources = append(h.Sources, s)
	}
	return h
}

// overflow says what of a source is left out, as there is too much of it.
func (b *Board) overflow(name monitorapi.SourceName) string {
	left := 0
	switch name {
	case monitorapi.SourceInstances:
		left = b.census.leftInstances
	case monitorapi.SourceFigures:
		left = b.census.leftMethods
	case monitorapi.SourceLeaders:
		left = b.census.leftGroups
	case monitorapi.SourceWork:
		for _, s := range b.services {
			left += s.work.left
		}
	case monitorapi.SourceDeadLetters:
		for _, s := range b.services {
			left += s.letters.left
		}
	}
	if left == 0 {
		return ""
	}
	return fmt.Sprintf("%d more than this monitor can show are left out", left)
}
