// Package target reads the arguments that name a service and a method, and says what was
// probably meant where there is none. It also has what the commands for stored work share
// in showing times.
package target

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/near"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// Target is a service, or one of its methods or groups.
type Target struct{ Service, Name string }

// Parse reads SERVICE or SERVICE/NAME.
func Parse(arg string) (Target, error) {
	service, name, both := strings.Cut(arg, "/")
	if service == "" || both && name == "" || strings.Contains(name, "/") {
		return Target{}, cli.Usagef("%q: write SERVICE, or SERVICE/METHOD", arg)
	}
	return Target{service, name}, nil
}

// ParseMethod reads SERVICE/METHOD.
func ParseMethod(arg string) (Target, error) {
	t, err := Parse(arg)
	if err == nil && t.Name == "" {
		return t, cli.Usagef("%q: write SERVICE/METHOD", arg)
	}
	return t, err
}

// String returns the target as an argument.
func (t Target) String() string {
	if t.Name == "" {
		return t.Service
	}
	return t.Service + "/" + t.Name
}

// Unknown returns the error for a service of which nothing is stored. what is what was
// looked for, such as "dead letters".
func Unknown(ctx context.Context, admin *aegisadmin.Admin, service, what string) error {
	names, err := admin.Services(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(names, service) {
		return nil
	}
	if near := near.Name(service, names); near != "" {
		return fmt.Errorf("nothing is stored of %s, and so it has no %s; did you mean %s?", service, what, near)
	}
	return fmt.Errorf("nothing is stored of %s, and so it has no %s; `aegis streams` lists the services of which something is", service, what)
}

// UnknownName returns the error for a name that none of names is, such as that of a method.
func UnknownName(what, name string, names []string) error {
	if near := near.Name(name, names); near != "" {
		return fmt.Errorf("there is no %s %s; did you mean %s?", what, name, near)
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no %s %s", what, name)
	}
	return fmt.Errorf("there is no %s %s; there is %s", what, name, strings.Join(names, ", "))
}

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
func Bytes(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, exponent := float64(n), -1
	for size >= unit && exponent < 4 {
		size /= unit
		exponent++
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTP"[exponent])
}
