package registry

import (
	"encoding/json"
	"time"
)

// MaxSnapshot bounds the snapshot of metrics in a heartbeat.
const MaxSnapshot = 8 << 10

// Beat is a heartbeat: the whole record, so that a watcher can do without the
// store, and what changes all the time.
type Beat struct {
	Record *Record
	// Bucket identifies the bucket that the instance is registered in, by its
	// creation time in microseconds; 0 if it is in none. A watcher of another
	// bucket learns from it that there is a new one.
	Bucket int64
	// Metrics is a snapshot in JSON that this package does not look into; nil
	// for none.
	Metrics json.RawMessage
	// Load is how busy the instance is with this service.
	Load Load
}

// Load is what clients compare instances by.
type Load struct {
	// InFlight is how many calls run.
	InFlight int `json:"in_flight,omitempty"`
	// Latency is the mean of the calls that ended since the last heartbeat, in
	// nanoseconds; 0 if there were none.
	Latency time.Duration `json:"latency,omitempty"`
	// Capacity is how many calls can run at once; 0 if that is not known.
	Capacity int `json:"capacity,omitempty"`
}

type beatJSON struct {
	Record  *recordJSON     `json:"record"`
	Bucket  int64           `json:"bucket,omitempty"`
	Load    Load            `json:"load,omitzero"`
	Metrics json.RawMessage `json:"metrics,omitempty"`
}

// Encode returns the heartbeat as JSON. Metrics that are no JSON, or too large,
// are left out: they must not make an instance look dead.
func (b *Beat) Encode() ([]byte, error) {
	if err := b.Record.check(); err != nil {
		return nil, err
	}
	out := beatJSON{Record: b.Record.json(), Bucket: b.Bucket, Load: b.Load}
	if len(b.Metrics) <= MaxSnapshot && json.Valid(b.Metrics) {
		out.Metrics = b.Metrics
	}
	return json.Marshal(out)
}

// DecodeBeat reads a heartbeat that came on the subject of an instance. Errors
// wrap [ErrInvalidRecord].
func DecodeBeat(service, instance string, data []byte) (*Beat, error) {
	if len(data) > maxRecordSize+2*MaxSnapshot {
		return nil, invalid("foreign: a heartbeat of %d bytes", len(data))
	}
	var in beatJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, explainBeat(data, err)
	}
	if in.Record == nil {
		return nil, invalid(`foreign: a heartbeat without "record"`)
	}
	record, err := in.Record.record(service, instance)
	if err != nil {
		return nil, err
	}
	if len(in.Metrics) > MaxSnapshot {
		in.Metrics = nil
	}
	return &Beat{Record: record, Bucket: in.Bucket, Metrics: in.Metrics, Load: in.Load}, nil
}

func explainBeat(data []byte, err error) error {
	var probe struct {
		Record json.RawMessage `json:"record"`
	}
	if json.Unmarshal(data, &probe) != nil || probe.Record == nil {
		return invalid("foreign: %v", err)
	}
	return explain(probe.Record, err)
}
