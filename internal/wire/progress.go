package wire

import "encoding/json"

// Progress is the body of a message on the ".progress" subject of a command: which
// attempt runs, and how far its handler is.
type Progress struct {
	// Send is the command's HeaderSend, "" where it has none. It tells the progress of
	// one command from that of others with the same id.
	Send string `json:"send,omitempty"`
	// Attempt is the number of the attempt that runs, from 1 on.
	Attempt int `json:"attempt"`
	// Percent is how much the handler says is done. It is nil where the handler has
	// reported nothing: then the body only says that the attempt runs.
	Percent *float64 `json:"percent,omitempty"`
	// Message is what the handler says it is doing.
	Message string `json:"message,omitempty"`
}

// Encode returns the body. Percent must be a finite number.
func (p *Progress) Encode() []byte {
	body, _ := json.Marshal(p) //nolint:errchkjson // fails only for numbers that JSON does not have
	return body
}

// ParseProgress reads a body. A body without an attempt is none.
func ParseProgress(body []byte) (Progress, bool) {
	var p Progress
	if json.Unmarshal(body, &p) != nil || p.Attempt < 1 {
		return Progress{}, false
	}
	return p, true
}
