package status

import (
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
)

// Encode puts s into the headers of a reply and returns the body of the reply: an
// aegis.v1.Status, in JSON or not.
func (s *Status) Encode(h map[string][]string, json bool) (body []byte) {
	h[wire.HeaderServiceError] = []string{wire.HeaderText(s.Message)}
	h[wire.HeaderServiceErrorCode] = []string{strconv.Itoa(int(s.Code))}
	if s.Reason != "" {
		h[wire.HeaderReason] = []string{s.Reason}
	}
	m := &aegisv1.Status{Code: int32(s.Code), Message: strings.ToValidUTF8(s.Message, "\uFFFD"), Details: s.Details}
	if json {
		body, _ = protojson.Marshal(m) // fails only for details of unknown types; the headers have the rest
	} else {
		body, _ = proto.Marshal(m) // cannot fail: details are marshalled already
	}
	return body
}

// shortText is how many bytes of a message are left if it does not fit as a whole.
const shortText = 64

// Fit fills reply with metadata and s, and makes it small enough for NATS, within most
// bytes. It leaves out the metadata, then the details, and in the end most of the text,
// never code and reason. It returns the names of the parts that it has left out.
func (s *Status) Fit(reply *nats.Msg, most int64, json bool, metadata nats.Header) (left string) {
	fits := func() bool { return int64(reply.Size()-len(reply.Subject)-len(reply.Reply)) <= most }
	encode := func(metadata nats.Header) {
		if reply.Header = maps.Clone(metadata); reply.Header == nil {
			reply.Header = make(nats.Header, 4)
		}
		if json {
			reply.Header[wire.HeaderContentType] = []string{wire.ContentTypeJSON}
		}
		reply.Data = s.Encode(reply.Header, json)
	}
	encode(metadata)
	if fits() {
		return ""
	}
	if len(metadata) > 0 {
		if encode(nil); fits() {
			return "metadata"
		}
	}
	reply.Data = reply.Data[:0]
	if fits() {
		return "metadata and details"
	}
	text := reply.Header.Get(wire.HeaderServiceError)
	reply.Header[wire.HeaderServiceError] = []string{text[:min(len(text), shortText)]}
	return "metadata, details and most of its text"
}

// Failed reports whether the headers of a reply say that it is an error.
func Failed(h map[string][]string) bool {
	return wire.HeaderValue(h, wire.HeaderServiceErrorCode) != ""
}

// Decode reads an error reply: the status in its body, or the headers alone where the body
// has none that can be read, as with a plain NATS micro service.
func Decode(h map[string][]string, body []byte) *Status {
	s := &Status{
		Code:       Unknown,
		Message:    wire.HeaderValue(h, wire.HeaderServiceError),
		Reason:     wire.HeaderValue(h, wire.HeaderReason),
		FromServer: true,
	}
	if n, err := strconv.ParseUint(wire.HeaderValue(h, wire.HeaderServiceErrorCode), 10, 32); err == nil && Code(n).Known() {
		s.Code = Code(n)
	}
	s.NotRun = refuses(s.Reason)
	var m aegisv1.Status
	if len(body) > 0 && decode(h, body, &m) == nil && m.GetCode() == int32(s.Code) {
		s.Message, s.Details = m.GetMessage(), m.GetDetails()
	}
	return s
}

// decode reads the body of an error reply by its content type.
func decode(h map[string][]string, body []byte, into *aegisv1.Status) error {
	if wire.WantsJSON(h) {
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, into)
	}
	return proto.Unmarshal(body, into)
}

// refuses reports whether a server that sends a reason has run no handler. A server sends
// no reason with the error of a handler.
func refuses(reason string) bool {
	switch reason {
	case wire.ReasonOverloaded, wire.ReasonRefused, wire.ReasonStopping, wire.ReasonStale, wire.ReasonNoMethod, wire.ReasonNotActive:
		return true
	default:
		return false
	}
}
