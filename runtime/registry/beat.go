package registry

import (
	"encoding/json"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
)

// MaxSnapshot bounds the snapshot of metrics in a heartbeat.
const MaxSnapshot = 8 << 10

// Beat is a heartbeat. It has the whole record, so that a watcher can do without the store,
// and the figures that change all the time.
type Beat struct {
	Record *Record
	// Bucket identifies the bucket that has the record of the instance, by the time when the
	// bucket was made, in microseconds; 0 if none has. A watcher of another bucket learns
	// from it that there is a new one.
	Bucket int64
	// Metrics is a snapshot in JSON that this package does not read; nil for none.
	Metrics json.RawMessage
	// Load is how busy the instance is with this service.
	Load Load
}

// Load has the figures by which clients compare instances.
type Load struct {
	// InFlight is the number of calls that run.
	InFlight int
	// Latency is the mean of the calls that ended since the last heartbeat, in
	// nanoseconds; 0 if there were none.
	Latency time.Duration
	// Capacity is the number of calls that can run at once; 0 if that is not known.
	Capacity int
}

// Encode returns the heartbeat as JSON. Metrics that are no JSON, or too large,
// are left out: they must not make an instance look dead.
func (b *Beat) Encode() ([]byte, error) {
	if err := b.Record.check(); err != nil {
		return nil, err
	}
	out := wire.Heartbeat{Record: b.Record.body(), Bucket: b.Bucket, Load: wire.Load(b.Load)}
	if len(b.Metrics) <= MaxSnapshot && json.Valid(b.Metrics) {
		out.Metrics = b.Metrics
	}
	return out.Encode()
}

// DecodeBeat reads a heartbeat that came on the subject of an instance. Errors
// wrap [ErrInvalidRecord].
func DecodeBeat(service, instance string, data []byte) (*Beat, error) {
	if len(data) > maxRecordSize+2*MaxSnapshot {
		return nil, invalid("foreign: a heartbeat of %d bytes", len(data))
	}
	in, err := wire.DecodeHeartbeat(data)
	if err != nil {
		return nil, explainBeat(data, err)
	}
	if in.Record == nil {
		return nil, invalid(`foreign: a heartbeat without "record"`)
	}
	record, err := recordOf(in.Record, service, instance)
	if err != nil {
		return nil, err
	}
	if len(in.Metrics) > MaxSnapshot {
		in.Metrics = nil
	}
	return &Beat{Record: record, Bucket: in.Bucket, Metrics: in.Metrics, Load: Load(in.Load)}, nil
}

// explainBeat returns the error for a heartbeat that cannot be read.
func explainBeat(data []byte, err error) error {
	record := wire.HeartbeatRecord(data)
	if record == nil {
		return invalid("foreign: %v", err)
	}
	return explain(record, err)
}
