package stores

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/natsversion"
)

// ErrOld is wrapped if the NATS servers are too old for a stream. An upgrade of the servers
// helps, without a restart of the program.
var ErrOld = errors.New("the NATS server is too old")

var (
	streamMetadata   = natsversion.Version{2, 10, 0}
	messageTTL       = natsversion.Version{2, 11, 0}
	messageSchedules = natsversion.Version{2, 12, 0}
)

// needs returns the oldest nats-server that has the features of the wanted stream. An
// older server takes the configuration, and leaves out features that it does not know
// without an error. A queue with a size needs the same version as other queues, as only
// that version refuses a schedule in a stream that takes none.
func (w *Want) needs() (oldest natsversion.Version, why string) {
	switch {
	case w.queue():
		return messageSchedules, "commands"
	case w.AllowMsgTTL:
		return messageTTL, "the results of commands"
	}
	return natsversion.Version{}, ""
}

// newEnough returns an error if the NATS server of the connection is too old.
func (s *Stores) newEnough(want *Want) error {
	oldest, _ := want.needs()
	found, ok := natsversion.Parse(s.nc.ConnectedServerVersion())
	if !ok || !found.Before(oldest) {
		return nil // a version that cannot be read shows in the stream that is made
	}
	return s.old(want)
}

func (s *Stores) old(want *Want) error {
	oldest, why := want.needs()
	return fmt.Errorf("the stream %s: %w: %s need nats-server %s or later on every server with JetStream, and this one is %s; "+
		"upgrade the NATS servers, and it works by itself", want.Name, ErrOld, why, oldest, s.nc.ConnectedServerVersion())
}

// lacks returns the flags of features that a stream does not have and needs.
func (w *Want) lacks(have *jetstream.StreamConfig) []string {
	var flags []string
	for _, f := range []struct {
		flag        string
		wants, does bool
	}{
		{"--allow-msg-ttl", w.AllowMsgTTL, have.AllowMsgTTL},
		{"--allow-schedules", w.AllowMsgSchedules, have.AllowMsgSchedules},
		{"--allow-direct", w.AllowDirect && w.AllowMsgTTL, have.AllowDirect},
	} {
		if f.wants && !f.does {
			flags = append(flags, f.flag)
		}
	}
	return flags
}
