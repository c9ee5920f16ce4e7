package serve

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
)

// The types of answers.
const (
	typeJSON = "application/json"
	typeText = "text/plain; charset=utf-8"
)

// minGzip is the least size that is worth to be compressed.
const minGzip = 1024

// content is what an answer has.
type content struct {
	kind string
	data []byte
	tag  string        // of its ETag; "" for none
	gzip func() []byte // data compressed; nil for what is not to be
}

// write answers with the content.
func (c *content) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	data := c.data
	if c.tag != "" {
		tag := `W/"` + c.tag + `"`
		h.Set("ETag", tag)
		if matches(r.Header.Values("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", c.kind)
	if c.gzip != nil {
		h.Add("Vary", "Accept-Encoding")
		if len(data) >= minGzip && accepts(r.Header.Values("Accept-Encoding"), "gzip") {
			data = c.gzip()
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

// reply answers with a document as JSON.
func reply(w http.ResponseWriter, r *http.Request, document any) error {
	data, err := json.Marshal(document)
	if err != nil {
		return err
	}
	c := content{kind: typeJSON, data: data, gzip: func() []byte { return live.Compress(data) }}
	c.write(w, r)
	return nil
}

// matches reports whether a tag is one of those that the client has.
func matches(header []string, tag string) bool {
	for _, line := range header {
		for have := range strings.SplitSeq(line, ",") {
			have = strings.TrimSpace(have)
			if have == "*" || strings.TrimPrefix(have, "W/") == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
	}
	return false
}

// accepts reports whether a header such as Accept or Accept-Encoding names a value, and does
// not refuse it.
func accepts(header []string, value string) bool {
	for _, line := range header {
		for item := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), value) {
				continue
			}
			quality, found := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
			q, err := strconv.ParseFloat(quality, 64)
			return !found || err != nil || q > 0
		}
	}
	return false
}
