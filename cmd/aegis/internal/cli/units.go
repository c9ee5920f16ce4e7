package cli

import (
	"fmt"
	"strings"
	"time"
)

// Age returns how long ago a time was, in few letters; "" for no time.
func Age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Span(time.Since(t))
}

// Clock returns a time as people at this machine read it; "" for no time.
func Clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 MST") //nolint:gosmopolitan // a person reads it, JSON has it in UTC
}

// In returns how long it is until a time; "" for no time.
func In(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Span(time.Until(t))
}

// Span returns a duration in few letters.
func Span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// Count returns a number with its noun: "1 command", "3 commands".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Bytes returns a size in few letters.
func Bytes[T int | int64 | uint64](n T) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, exponent := float64(n), -1
	for size >= unit && exponent < 4 {
		size /= unit
		exponent++
	}
	return fmt.Sprintf("%s %ciB", strings.TrimSuffix(fmt.Sprintf("%.1f", size), ".0"), "KMGTP"[exponent])
}
