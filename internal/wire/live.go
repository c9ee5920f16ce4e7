package wire

// Liveness. Each candidate's process listens on the subject [Subjects.Live] and
// below it; the following tokens come after the process in that subject.
const (
	// LiveSelf is where a process sends messages to itself.
	LiveSelf = "self"
	// LiveProbe is where other processes ask a process whether it lives.
	LiveProbe = "probe"
	// LiveReply is where a process receives answers, and NATS's word that nobody
	// listens: the process that was asked and the number of the probe follow.
	LiveReply = "reply"
	// LiveHere is where nobody reads what is sent, and NATS's word that nobody listens tells
	// those who only look that the candidates of a process are gone.
	LiveHere = "here"
)

// Probe is the body of the question whether a process lives.
type Probe struct {
	Process  string `json:"process"`          // the process that asks
	ServerID string `json:"server_id"`        // the NATS server of that process
	Number   uint64 `json:"number"`           // of the probe
	Answer   bool   `json:"answer,omitempty"` // whether the process that is asked should answer
}

// Encode returns the body as JSON.
func (p Probe) Encode() []byte { return encode(p) }

// DecodeProbe reads a body. It returns false for what is no JSON of one.
func DecodeProbe(data []byte) (Probe, bool) { return decode[Probe](data) }

// ProbeAnswer is the body of the answer to a [Probe].
type ProbeAnswer struct {
	ServerID string `json:"server_id"` // the NATS server of the process that answers
}

// Encode returns the body as JSON.
func (a ProbeAnswer) Encode() []byte { return encode(a) }

// DecodeProbeAnswer reads a body. It returns false for what is no answer of a
// process: a stream that stores probes answers too, with JSON of its own.
func DecodeProbeAnswer(data []byte) (ProbeAnswer, bool) {
	a, ok := decode[ProbeAnswer](data)
	return a, ok && a.ServerID != ""
}
