//go:build unix

package history_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

func TestLogGivesBackWhatWasAppended(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	log, err := history.Create(path, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	want := history.Record{
		Kind: history.Called, Outcome: history.Unknown, Reason: history.Stale, Key: 1<<32 - 1,
		ID: 1<<64 - 1, Term: 2, Previous: 3, Begin: -4, End: history.Now(),
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				log.Append(want)
			}
		})
	}
	all.Wait()
	records, err := history.Read(path) // while the writer still has it open
	if err != nil || len(records) != 8000 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, r := range records {
		if r != want {
			t.Fatalf("got %+v in place of %+v", r, want)
		}
	}
}

func TestClockRuns(t *testing.T) {
	t.Parallel()
	before, now, after := history.Now(), time.Now(), history.Now()
	if at := history.At(now); at < before || at > after {
		t.Errorf("%d is not between %d and %d", at, before, after)
	}
}
