package live

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

var zero time.Time //nolint:gochecknoglobals // the zero time

// Frame is a document as it was at one time, encoded once for all who read it. It must not be
// changed.
type Frame struct {
	// JSON is the document, in one line.
	JSON     []byte
	Revision uint64
	// Tag is the same for documents that say the same, whenever they were made.
	Tag string

	made   time.Time
	zipped func() []byte
}

// Gzip returns the document compressed. It is compressed when this is called first.
func (f *Frame) Gzip() []byte { return f.zipped() }

// newFrame encodes a document, which it changes.
func newFrame(d monitorapi.Document, made time.Time) (*Frame, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("aegismonitor: a document cannot be encoded: %w", err)
	}
	f := &Frame{JSON: text, Revision: d.Head().Revision, made: made}
	f.zipped = sync.OnceValue(func() []byte { return Compress(text) })
	still(d)
	same, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("aegismonitor: a document cannot be encoded: %w", err)
	}
	f.Tag = TagOf(same)
	return f, nil
}

// TagOf returns a tag of 128 bits for a content.
func TagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Compress compresses a content.
func Compress(content []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b) // writing to memory does not fail
	_, _ = z.Write(content)
	_ = z.Close()
	return b.Bytes()
}
