package wire

// KindAsk is the kind of the subjects on which the candidates of a group are asked, by
// each other and by people.
const KindAsk = "ask"

// AskLeader is the subject on which the leader of a group is asked to hand over.
func (s Subjects) AskLeader(service, group string) string {
	return join(s.ns, KindAsk, service, group, "leader")
}

// AskAll is the subject on which all candidates of a group are asked who they are, and told
// which of them is to lead next.
func (s Subjects) AskAll(service, group string) string {
	return join(s.ns, KindAsk, service, group, "all")
}

// HandOver is the body of the request to a leader that another candidate shall lead.
type HandOver struct {
	// To is the instance that shall lead; "" for any other.
	To string `json:"to,omitempty"`
	// Force has the leader end its term also if nobody else stands.
	Force bool `json:"force,omitempty"`
}

// Encode returns the body as JSON.
func (h HandOver) Encode() []byte { return encode(h) }

// DecodeHandOver reads a body; an empty one is a request for anybody.
func DecodeHandOver(data []byte) (HandOver, bool) {
	if len(data) == 0 {
		return HandOver{}, true
	}
	return decode[HandOver](data)
}

// Why a leader does not hand over.
const (
	// RefusedMalformed: the request cannot be read.
	RefusedMalformed = "MALFORMED"
	// RefusedBusy: the leader is handing over already.
	RefusedBusy = "BUSY"
	// RefusedAlone: nobody else stands.
	RefusedAlone = "ALONE"
	// RefusedUnknown: the instance that is named does not stand.
	RefusedUnknown = "UNKNOWN"
	// RefusedSelf: the instance that is named leads already.
	RefusedSelf = "SELF"
	// RefusedOver: the term has ended otherwise, or is about to.
	RefusedOver = "OVER"
)

// HandedOver is the body of the answer to a HandOver.
type HandedOver struct {
	// Term and Instance are those of the leader that was asked.
	Term     uint64 `json:"term"`
	Instance string `json:"instance"`
	// Refused is why the leader goes on to lead, or has lost its term otherwise; "" if it
	// has handed over. Standing are the instances that stand beside it, then.
	Refused  string   `json:"refused,omitempty"`
	Standing []string `json:"standing,omitempty"`
	// Next is the next leader; its term is 0 if there was none for a lease.
	Next Leader `json:"next,omitzero"`
}

// Encode returns the body as JSON.
func (h HandedOver) Encode() []byte { return encode(h) }

// DecodeHandedOver reads a body.
func DecodeHandedOver(data []byte) (HandedOver, bool) { return decode[HandedOver](data) }

// Heir is the body of a message to all candidates. Without a term it only asks who they
// are.
type Heir struct {
	// Term is that of a leader which is about to release, and Process the candidate
	// that is to lead next: all others hold back for a lease.
	Term    uint64 `json:"term,omitempty"`
	Process string `json:"process,omitempty"`
}

// Encode returns the body as JSON.
func (h Heir) Encode() []byte { return encode(h) }

// DecodeHeir reads a body; an empty one only asks.
func DecodeHeir(data []byte) (Heir, bool) {
	if len(data) == 0 {
		return Heir{}, true
	}
	return decode[Heir](data)
}

// Candidacy is a candidate's answer to the question who it is.
type Candidacy struct {
	Instance string `json:"instance"`
	Process  string `json:"process"`
	// Term is not 0 if the candidate leads.
	Term uint64 `json:"term,omitempty"`
	// Stands says that the candidate would lead if the leader let go now.
	Stands bool `json:"stands,omitempty"`
}

// Encode returns the body as JSON.
func (c Candidacy) Encode() []byte { return encode(c) }

// DecodeCandidacy reads a body. It returns false for what names no candidate.
func DecodeCandidacy(data []byte) (Candidacy, bool) {
	c, ok := decode[Candidacy](data)
	return c, ok && c.Instance != "" && c.Process != ""
}
