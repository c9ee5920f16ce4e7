package wire

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Instance is the value that the bucket of the registry has for an instance of a
// service, and a part of each of its heartbeats. A version that is missing is nil.
type Instance struct {
	Version        *int           `json:"v"`
	Service        string         `json:"service"`
	Instance       string         `json:"instance"`
	Process        string         `json:"process"`
	Incarnation    uint64         `json:"incarnation"`
	Change         uint64         `json:"change"`
	State          string         `json:"state"`
	ServiceVersion string         `json:"version"`
	Started        time.Time      `json:"started"`
	HeartbeatMS    int64          `json:"heartbeat_ms"`
	Leads          []InstanceLead `json:"leads,omitempty"`
	Unhealthy      bool           `json:"unhealthy,omitempty"`
	Hidden         bool           `json:"no_responders_hidden,omitempty"`
	Methods        []string       `json:"methods,omitzero"`

	Patterns    map[string]string `json:"patterns,omitzero"`
	Descriptors string            `json:"descriptors,omitempty"`

	Zone     string            `json:"zone,omitempty"`
	Node     string            `json:"node,omitempty"`
	Build    string            `json:"build,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Reserved bool              `json:"reserved,omitempty"`
}

// InstanceLead is one group that an instance leads.
type InstanceLead struct {
	Group string    `json:"group"`
	Term  uint64    `json:"term"`
	Since time.Time `json:"since"`
}

// Encode returns the record as JSON. It returns an error for a time that JSON cannot
// express, such as one of the year 10000.
func (i *Instance) Encode() ([]byte, error) { return json.Marshal(i) }

// DecodeInstance reads a record. It ignores fields that it does not know.
func DecodeInstance(data []byte) (*Instance, error) {
	var i Instance
	if err := json.Unmarshal(data, &i); err != nil {
		return nil, err
	}
	return &i, nil
}

// InstanceVersion returns the version of a record that cannot be read otherwise, nil
// if the data have none: in a later version fields may have other types.
func InstanceVersion(data []byte) *int {
	probe, ok := decode[struct {
		Version *int `json:"v"`
	}](data)
	if !ok {
		return nil
	}
	return probe.Version
}

// InstanceProcess returns the process that a record of any version names, "" if it
// names none.
func InstanceProcess(data []byte) string {
	probe, ok := decode[struct {
		Process string `json:"process"`
	}](data)
	if !ok {
		return ""
	}
	return probe.Process
}

// LabelPairs returns labels in the order of their keys, each as KEY=VALUE.
func LabelPairs(labels map[string]string) []string {
	pairs := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return pairs
}
