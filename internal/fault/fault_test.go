//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aegisrpc/aegis/internal/fault/roles"
)

// TestMain lets the test binary be its own NATS servers, candidates and callers.
func TestMain(m *testing.M) {
	roles.Play()
	os.Exit(m.Run())
}

// The short form of make fault, with durable work, and without a judgement on how
// fast it was: a machine that runs tests has other things to do.
func TestLeadersAreReplacedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	o := &options{short: true, out: filepath.Join(t.TempDir(), "fault.json"), folder: t.ArtifactDir()}
	if err := run(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func TestScenariosAreChosenByName(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, s := range (&options{}).all() {
		if names[s.name] {
			t.Errorf("there are two scenarios %q", s.name)
		}
		names[s.name] = true
	}
	chosen, err := (&options{scenario: "events, kill,cost"}).choose()
	if err != nil || len(chosen.calls) != 1 || len(chosen.durable) != 1 || !chosen.cost || chosen.streams {
		t.Errorf("chosen: %v, %v", chosen, err)
	}
	if _, err := (&options{scenario: "kill,nonsense"}).choose(); err == nil {
		t.Error("a scenario that does not exist was accepted")
	}
	if chosen, err := (&options{short: true}).choose(); err != nil || chosen.cost || !chosen.streams {
		t.Errorf("the short form: %v, %v", chosen, err)
	}
}
