package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// LeaderRecord is the value that the bucket of leaders has for a group, as package
// election writes it. A pointer tells a field that is missing from one that is zero.
type LeaderRecord struct {
	Version  int      `json:"v"`
	Instance string   `json:"instance"`
	Process  string   `json:"process"`
	Term     uint64   `json:"term"`
	ServerID string   `json:"server_id"`
	Since    string   `json:"since"`
	LeaseMS  int64    `json:"lease_ms"`
	WindowMS int64    `json:"window_ms"`
	Probers  []string `json:"probers"`
	Standbys int      `json:"standbys"`
	Released *bool    `json:"released"`
}

// leaderRecordFields are the names in version 1.
var leaderRecordFields = []string{
	"v", "instance", "process", "term", "server_id", "since", "lease_ms", "window_ms", "probers", "standbys", "released",
}

// Encode returns the record as JSON.
func (r LeaderRecord) Encode() []byte { return encode(r) }

// LeaderRecordVersion returns the version of a leader record, before anything else of
// it is read: in a later version the fields may be others. The error says why the
// data are no leader record of any version.
func LeaderRecordVersion(data []byte) (version int, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return 0, err
	}
	if err := json.Unmarshal(fields["v"], &version); err != nil || fields["process"] == nil {
		return 0, errors.New(`it has no "v" and "process"`)
	}
	return version, nil
}

// DecodeLeaderRecord reads a leader record of version 1. It refuses a field that this
// version does not have, also where only the case of the letters differs, which
// encoding/json would take: a record that is misread makes two leaders.
func DecodeLeaderRecord(data []byte) (LeaderRecord, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return LeaderRecord{}, err
	}
	for name := range fields {
		if !slices.Contains(leaderRecordFields, name) {
			return LeaderRecord{}, fmt.Errorf("unknown field %q", name)
		}
	}
	var r LeaderRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return LeaderRecord{}, err
	}
	return r, nil
}
