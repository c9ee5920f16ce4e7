package stores

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrOld is wrapped if the NATS servers are too old for a stream. An upgrade of the servers
// helps, without a restart of the program.
var ErrOld = errors.New("the NATS server is too old")

// version is the version of a nats-server.
type version [3]int

var (
	streamMetadata   = version{2, 10, 0}
	messageTTL       = version{2, 11, 0}
	messageSchedules = version{2, 12, 0}
)

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) before(other version) bool {
	for i := range v {
		if v[i] != other[i] {
			return v[i] < other[i]
		}
	}
	return false
}

// parseVersion reads "2.12.4", and "2.12.0-RC.1" as if it were out already.
func parseVersion(text string) (version, bool) {
	var v version
	release, _, _ := strings.Cut(strings.TrimPrefix(text, "v"), "-")
	parts := strings.Split(release, ".")
	if len(parts) != len(v) {
		return v, false
	}
	for i, part := range parts {
		var err error
		if v[i], err = strconv.Atoi(part); err != nil {
			return v, false
		}
	}
	return v, true
}

// needs returns the oldest nats-server that has the features of the wanted stream. An
// older server takes the configuration, and leaves out features that it does not know
// without an error. A queue with a size needs the same version as other queues, as only
// that version refuses a schedule in a stream that takes none.
func (w *Want) needs() (oldest version, why string) {
	switch {
	case w.queue():
		return messageSchedules, "commands"
	case w.AllowMsgTTL:
		return messageTTL, "the results of commands"
	}
	return version{}, ""
}

// newEnough returns an error if the NATS server of the connection is too old.
func (s *Stores) newEnough(want *Want) error {
	oldest, _ := want.needs()
	found, ok := parseVersion(s.nc.ConnectedServerVersion())
	if !ok || !found.before(oldest) {
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
