package wire

import "encoding/json"

// StoredBy recognizes the answer of JetStream to a message that a stream stores, or refuses
// to store. It returns the name of the stream, "" if the answer has none; ok is false for
// any other message. JetStream answers every message with a reply subject on a subject of
// a stream, also a request to a service. Such an answer has no headers, which the caller
// has to check.
//
// No protobuf message is taken for such an answer: only one with a group as its field 15
// begins with a brace, and none of these is a JSON object as well.
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
