package board

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
)

// A registry or a stream may name any number of things: beyond these numbers the board takes in
// no more, and says so as a problem of the source.
const (
	maxServices  = 2_000
	maxInstances = 10_000
	maxPast      = 2_000 // instances that are gone
	maxGroups    = 2_000
	maxMethods   = 5_000 // with figures
	maxQueues    = 2_000 // queues of commands, and as many subscriptions and streams
	maxLetters   = 2_000 // groups of dead letters
	maxFindings  = 200
	maxText      = 400 // bytes of a text
)

// clip cuts a text that is too long, between two characters.
func clip(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// known returns a figure for a document: nil for one that cannot be.
func known(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
		return nil
	}
	x = figures.Rounded(x, 4)
	return &x
}

// milliseconds returns a latency for a document.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// moment returns a time for a document; nil for the zero time, and for one that JSON cannot
// say.
func moment(t time.Time) *time.Time {
	if t.IsZero() || !sayable(t) {
		return nil
	}
	return &t
}

// instant is as moment, where a document has no null.
func instant(t time.Time) time.Time {
	if !sayable(t) {
		return time.Time{}
	}
	return t
}

// sayable reports whether JSON can say a time: RFC 3339 has four digits for a year.
func sayable(t time.Time) bool {
	year := t.Year()
	_, offset := t.Zone()
	return year >= 0 && year <= 9999 && offset > -24*3600 && offset < 24*3600
}

// earlier returns the earlier one of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// length says a time span in words, such as "12 min".
func length(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d, 0).Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// number says a number with the digits that matter: "0.04", "1.2", "212".
func number(x float64) string {
	switch {
	case x >= 10 || x == math.Trunc(x):
		return fmt.Sprintf("%.0f", x)
	case x >= 1:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2g", x)
	}
}

// many says a number of things: "1 instance", "3 instances".
func many[N int | uint64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
