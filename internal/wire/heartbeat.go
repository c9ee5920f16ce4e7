package wire

import (
	"encoding/json"
	"time"
)

// Heartbeat is the body of a heartbeat.
type Heartbeat struct {
	Record  *Instance       `json:"record"`
	Bucket  int64           `json:"bucket,omitempty"`
	Load    Load            `json:"load,omitzero"`
	Metrics json.RawMessage `json:"metrics,omitempty"`
}

// Load is how busy an instance is with a service.
type Load struct {
	InFlight int           `json:"in_flight,omitempty"`
	Latency  time.Duration `json:"latency,omitempty"` // in nanoseconds
	Capacity int           `json:"capacity,omitempty"`
}

// Encode returns the heartbeat as JSON. It returns an error for metrics that are no
// JSON, and for what makes [Instance.Encode] return one.
func (h *Heartbeat) Encode() ([]byte, error) { return json.Marshal(h) }

// DecodeHeartbeat reads a heartbeat. It ignores fields that it does not know.
func DecodeHeartbeat(data []byte) (*Heartbeat, error) {
	var h Heartbeat
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, err
	}
	return &h, nil
}

// HeartbeatRecord returns the record of a heartbeat that cannot be read otherwise,
// nil if it has none.
func HeartbeatRecord(data []byte) []byte {
	probe, ok := decode[struct {
		Record json.RawMessage `json:"record"`
	}](data)
	if !ok {
		return nil
	}
	return probe.Record
}
