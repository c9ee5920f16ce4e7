package metrics

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxSeries bounds the series of one metric, and so what a hostile registry can cost
	// Prometheus. The documents have the worst first, so that this stays.
	maxSeries = 10_000
	// maxValue bounds a label's value, in bytes.
	maxValue = 200
)

// scrape sends the series of one scrape, each once and not too many.
type scrape struct {
	out  chan<- prometheus.Metric
	sent map[*family]map[string]bool // by the values of the labels
	left int                         // series that were left out
}

// set sends the value of one series. A second one with the same labels would spoil the whole
// scrape, and is left out.
func (s *scrape) set(f *family, value float64, labels ...string) {
	for i, l := range labels {
		labels[i] = printable(l)
	}
	key := strings.Join(labels, "\xff") // which no valid UTF-8 contains
	if s.sent[f] == nil {
		s.sent[f] = map[string]bool{}
	}
	if s.sent[f][key] || len(s.sent[f]) >= maxSeries {
		s.left++
		return
	}
	s.sent[f][key] = true
	s.out <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

// printable returns a label's value that Prometheus takes. One that had to be changed ends
// with a hash, so that two of them do not become the same.
func printable(value string) string {
	if utf8.ValidString(value) && len(value) <= maxValue {
		return value
	}
	hash := sha256.Sum256([]byte(value))
	end := "~" + hex.EncodeToString(hash[:8])
	return strings.ToValidUTF8(value[:min(len(value), maxValue-len(end))], "") + end
}
