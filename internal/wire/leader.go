package wire

// Leader is the body of the messages that name the leader of a group: candidates
// answer with it when they are asked, and a new leader announces itself with it.
// Its zero value, as an answer, says that the candidate knows of no leader.
type Leader struct {
	Term     uint64 `json:"term"`
	Instance string `json:"instance"`
}

// Encode returns the body as JSON.
func (l Leader) Encode() []byte { return encode(l) }

// DecodeLeader reads a body. It returns false for what is no JSON of one.
func DecodeLeader(data []byte) (Leader, bool) { return decode[Leader](data) }
