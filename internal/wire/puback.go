package wire

import "encoding/json"

// StoredBy reads what JetStream answers to a message that a stream stores, or
// refuses to store, and returns the stream's name, "" if it is not said. ok is
// false for all else. JetStream answers whoever publishes with a reply subject to
// a subject of a stream, also where the message is a request to somebody else. It
// sends no headers with that; the caller has to look.
//
// No message of protobuf's is taken for it: none begins with a brace but one that
// has a group as its field 15, and none of these is a JSON object too.
func StoredBy(data []byte) (stream string, ok bool) {
	if len(data) == 0 || data[0] != '{' {
		return "", false
	}
	var answer struct {
		Stream   string  `json:"stream"`
		Sequence *uint64 `json:"seq"`
		Error    *struct {
			Code    int `json:"code"`
			ErrCode int `json:"err_code"`
		} `json:"error"`
	}
	if json.Unmarshal(data, &answer) != nil {
		return "", false
	}
	refused := answer.Error != nil && answer.Error.Code != 0 && answer.Error.ErrCode != 0
	return answer.Stream, refused || answer.Stream != "" && answer.Sequence != nil
}
