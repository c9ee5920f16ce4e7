package clitest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// Output collects what a process writes. It is safe for concurrent use.
type Output struct {
	mu      sync.Mutex // guards what follows
	text    bytes.Buffer
	changed chan struct{} // closed and made anew with each write
}

func newOutput() *Output { return &Output{changed: make(chan struct{})} }

// Write appends to the output.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

// String returns the output so far.
func (o *Output) String() string {
	text, _ := o.look()
	return text
}

func (o *Output) look() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// Await waits until the output has a text, and returns the output then. The test fails
// if the text does not come within a minute.
func (o *Output) Await(tb testing.TB, text string) string {
	tb.Helper()
	return o.AwaitThat(tb, "has "+text, func(out string) bool { return strings.Contains(out, text) })
}

// AwaitThat waits until the output satisfies a condition that is told as what.
func (o *Output) AwaitThat(tb testing.TB, what string, holds func(out string) bool) string {
	tb.Helper()
	late := time.After(patience)
	for {
		out, changed := o.look()
		if holds(out) {
			return out
		}
		select {
		case <-changed:
		case <-late:
			tb.Fatalf("no output that %s after %v, but:\n%s", what, patience, out)
		}
	}
}
