package wire

import "encoding/json"

// encode returns the JSON of a body that is made of texts, numbers and booleans
// alone. Such a body can always be written, so that there is no error to return.
func encode(body any) []byte {
	data, err := json.Marshal(body)
	if err != nil {
		return nil
	}
	return data
}

// decode reads a body from JSON. It returns false if the data are no JSON, or if a
// field has a value of another kind. A field that this version does not know is
// ignored: a later version may have written it.
func decode[T any](data []byte) (T, bool) {
	var body T
	err := json.Unmarshal(data, &body)
	return body, err == nil
}
