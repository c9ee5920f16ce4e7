package election

import (
	"fmt"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
)

// Term numbers the leaderships of a group and is its fencing token: each is
// greater than all before. It counts microseconds since the Unix epoch where
// nothing forces it higher, and stays below 2^53 so that JSON keeps it.
type Term uint64

const (
	// RecordVersion is the version that [Record.Encode] writes and the only one
	// that [DecodeRecord] accepts.
	RecordVersion = 1

	// MaxProbers is how many processes a leader names as its probers.
	MaxProbers = 2

	maxTerm       = Term(1)<<53 - 1
	maxRecordSize = 4096
	maxName       = 64
)

// Record is the value that the store has for a group: its leader, and the leader's term.
type Record struct {
	// Instance is the leader's name, for people. Nothing is decided by it: a
	// process restarted under the same name is another candidate.
	Instance string
	// Process identifies the leader: new at each start of a process.
	Process string
	// Term is the leader's token.
	Term Term
	// ServerID names the NATS server that the leader was connected to when it
	// wrote this. It is empty in a vacant record: nobody leads, and the lease of
	// a leader whose record was removed is being waited out.
	ServerID string
	// Since is when the term began by the leader's wall clock, for people.
	Since time.Time
	// Lease and Window are the leader's, in whole milliseconds: the others wait
	// at least as long (S8).
	Lease, Window time.Duration
	// Probers are the processes that probe at the full rate; "" for none.
	Probers [MaxProbers]string
	// Standbys is how many processes the leader knows to probe it, its probers
	// among them: all others take turns (S6).
	Standbys int
	// Released says that this leader acts no more and anybody may follow.
	Released bool
}

// Encode returns the record as JSON.
func (r Record) Encode() ([]byte, error) {
	out := wire.LeaderRecord{
		Version:  RecordVersion,
		Instance: r.Instance,
		Process:  r.Process,
		Term:     uint64(r.Term),
		ServerID: r.ServerID,
		Since:    r.Since.UTC().Format(time.RFC3339Nano),
		LeaseMS:  r.Lease.Milliseconds(),
		WindowMS: r.Window.Milliseconds(),
		Probers:  []string{},
		Standbys: r.Standbys,
		Released: &r.Released,
	}
	for _, prober := range r.Probers {
		if prober != "" {
			out.Probers = append(out.Probers, prober)
		}
	}
	return out.Encode(), nil
}

// DecodeRecord reads a record. It is strict, as a record that is misread makes
// two leaders: the error wraps [ErrForeignRecord] for what is no leader record,
// [ErrFutureRecord] for a version that this package does not know, and
// [ErrCorruptRecord] for the known version with values that it never has.
func DecodeRecord(data []byte) (Record, error) {
	if len(data) > maxRecordSize {
		return Record{}, fmt.Errorf("%w: it has %d bytes, a record at most %d; remove the key or use another namespace",
			ErrForeignRecord, len(data), maxRecordSize)
	}
	version, err := wire.LeaderRecordVersion(data)
	if err != nil {
		return Record{}, foreign(err.Error())
	}
	switch {
	case version > RecordVersion:
		return Record{}, fmt.Errorf("%w: %d, and this program knows %d; update it", ErrFutureRecord, version, RecordVersion)
	case version < RecordVersion:
		return Record{}, corrupt("version %d does not exist", version)
	}
	in, err := wire.DecodeLeaderRecord(data)
	if err != nil {
		return Record{}, corrupt("%v", err)
	}
	record, err := recordOf(&in)
	if err != nil {
		return Record{}, err
	}
	return record, record.check()
}

// recordOf makes a record of what was stored, as far as its values have a place in one.
func recordOf(in *wire.LeaderRecord) (Record, error) {
	since, err := time.Parse(time.RFC3339Nano, in.Since)
	switch {
	case err != nil:
		return Record{}, corrupt("since: %v", err)
	case in.Released == nil:
		return Record{}, corrupt("released is missing")
	case len(in.Probers) > MaxProbers:
		return Record{}, corrupt("%d probers, at most %d", len(in.Probers), MaxProbers)
	case in.Standbys < 0 || in.Standbys > maxSightings:
		return Record{}, corrupt("standbys is %d", in.Standbys)
	case in.LeaseMS < 0 || in.LeaseMS > MaxLease.Milliseconds():
		return Record{}, corrupt("lease_ms is %d", in.LeaseMS)
	case in.WindowMS < 0 || in.WindowMS > MaxLease.Milliseconds():
		return Record{}, corrupt("window_ms is %d", in.WindowMS)
	}
	record := Record{
		Instance: in.Instance,
		Process:  in.Process,
		Term:     Term(in.Term),
		ServerID: in.ServerID,
		Since:    since,
		Lease:    time.Duration(in.LeaseMS) * time.Millisecond,
		Window:   time.Duration(in.WindowMS) * time.Millisecond,
		Standbys: in.Standbys,
		Released: *in.Released,
	}
	for i, prober := range in.Probers {
		if !validName(prober) {
			return Record{}, corrupt("prober %q is no name", prober)
		}
		record.Probers[i] = prober
	}
	return record, nil
}

// check refuses what no candidate writes.
func (r Record) check() error {
	switch {
	case !validName(r.Instance):
		return corrupt("instance %q is no name", r.Instance)
	case !validName(r.Process):
		return corrupt("process %q is no name", r.Process)
	case r.Term == 0 || r.Term > maxTerm:
		return corrupt("term %d is out of range", r.Term)
	case len(r.ServerID) > maxName:
		return corrupt("server_id has %d bytes", len(r.ServerID))
	case r.Lease < MinLease || r.Lease > MaxLease:
		return corrupt("lease %v is out of range", r.Lease)
	case r.Window < MinWindow || r.Window > r.Lease/4:
		return corrupt("window %v is out of range", r.Window)
	}
	return nil
}

func (r Record) vacant() bool { return r.ServerID == "" && !r.Released }

func (r Record) probers() (named int) {
	for _, prober := range r.Probers {
		if prober != "" {
			named++
		}
	}
	return named
}

// validName accepts what can be one token of a subject.
func validName(name string) bool {
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= maxName
}

func foreign(why string) error {
	return fmt.Errorf("%w: %s; remove the key or use another namespace", ErrForeignRecord, why)
}

func corrupt(format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	return fmt.Errorf("%w: %s; find out who wrote it, then remove the key", ErrCorruptRecord, why)
}
