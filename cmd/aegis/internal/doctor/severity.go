package doctor

import (
	"encoding/json"
	"fmt"
)

// Severity says how bad a finding is. The order is that of the severities' names below,
// from good to bad; what could not be looked at is beside that order.
type Severity int

// The severities.
const (
	// OK: the check has found what it should.
	OK Severity = iota
	// Info: a fact that somebody who looks for a fault wants to know.
	Info
	// Unknown: the check could not look, for want of a permission, an answer or an argument.
	Unknown
	// Warning: all works now, and something will not one day, or works worse than it could.
	Warning
	// Failure: something does not work.
	Failure
)

// severityNames are the names as people and programs read them.
var severityNames = [...]string{OK: "ok", Info: "info", Unknown: "unknown", Warning: "warning", Failure: "error"}

// symbols tell the severities apart where there are no colours.
var symbols = [...]string{OK: "✓", Info: "·", Unknown: "?", Warning: "!", Failure: "✗"}

// String returns the name of the severity, such as "warning".
func (s Severity) String() string {
	if s < 0 || int(s) >= len(severityNames) {
		return fmt.Sprintf("severity %d", int(s))
	}
	return severityNames[s]
}

// Symbol returns the one character that stands for the severity.
func (s Severity) Symbol() string { return symbols[s] }

// MarshalJSON writes the name.
func (s Severity) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads the name.
func (s *Severity) UnmarshalJSON(data []byte) error {
	var name string
	if err := json.Unmarshal(data, &name); err != nil {
		return err
	}
	for i, known := range severityNames {
		if known == name {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no severity", name)
}
