package wire

// Member is the body of the messages by which the instances of a group that share
// the partitions of an event know of each other.
type Member struct {
	Name  string `json:"member"`
	Gone  bool   `json:"gone,omitempty"`  // the member leaves
	Hello bool   `json:"hello,omitempty"` // the member is new, and asks all others to say that they are there
}

// Encode returns the body as JSON.
func (m Member) Encode() []byte { return encode(m) }

// DecodeMember reads a body. It returns false for what names no member.
func DecodeMember(data []byte) (Member, bool) {
	m, ok := decode[Member](data)
	return m, ok && m.Name != ""
}
