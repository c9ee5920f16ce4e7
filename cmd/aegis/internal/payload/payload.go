// Package payload shows stored messages as JSON.
package payload

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Payload is a stored message as it is shown: JSON if that can be made of it, else its
// bytes, and why it is not JSON.
type Payload struct {
	JSON   json.RawMessage `json:"json,omitempty"`
	Base64 []byte          `json:"base64,omitempty"`
	Bytes  int             `json:"bytes"`
	Why    string          `json:"why,omitempty"`
}

// Reader makes Payloads of the stored messages of a service.
type Reader struct {
	conn    *aegis.Conn
	service string
	decode  decoder
}

// decoder makes JSON of a request or a response of a method.
type decoder func(ctx context.Context, method string, response bool, data []byte) (json.RawMessage, error)

// NewReader returns a reader for the messages of a service. It asks for the descriptors of
// the service when it needs them first.
func NewReader(conn *aegis.Conn, service string) *Reader {
	return &Reader{conn: conn, service: service, decode: reflection(conn, service)}
}

// Read makes a payload of a request of a method, or of its response.
func (r *Reader) Read(ctx context.Context, method string, response bool, contentType string, data []byte) *Payload {
	p := &Payload{Bytes: len(data)}
	if isJSON(contentType) {
		if json.Valid(data) {
			p.JSON = data
			return p
		}
		p.Base64, p.Why = data, "it says that it is JSON, and is none"
		return p
	}
	text, err := r.decode(ctx, method, response, data)
	if err != nil {
		p.Base64, p.Why = data, strings.TrimPrefix(err.Error(), "aegis: ")
		return p
	}
	p.JSON = text
	return p
}

func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/json")
}

// Text returns the payload as a person reads it.
func (p *Payload) Text() string {
	if p.JSON != nil {
		var indented bytes.Buffer
		if json.Indent(&indented, p.JSON, "", "  ") == nil {
			return indented.String()
		}
		return string(p.JSON)
	}
	if p.Bytes == 0 {
		return "(empty)"
	}
	return fmt.Sprintf("%d bytes, not decoded: %s\n%q", p.Bytes, p.Why, shortened(p.Base64))
}

// shown is how many bytes are shown of what cannot be decoded.
const shown = 256

func shortened(data []byte) string {
	if len(data) > shown {
		return string(data[:shown]) + "…"
	}
	return string(data)
}
