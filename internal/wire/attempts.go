package wire

// Attempts is the body of the record of a message's attempts, which is stored beside the
// message, as package attempts writes it.
type Attempts struct {
	Sequence  uint64 `json:"sequence"`
	Stored    int64  `json:"stored"` // in nanoseconds since 1970
	Delivered int    `json:"delivered"`
	Attempts  int    `json:"attempts"`
	Begun     bool   `json:"begun"`
	Tries     int    `json:"tries"`
	Reason    string `json:"reason,omitempty"`
}

// Encode returns the body as JSON.
func (a Attempts) Encode() []byte { return encode(a) }

// DecodeAttempts reads a body. It returns false for what is no JSON of one.
func DecodeAttempts(data []byte) (Attempts, bool) { return decode[Attempts](data) }
