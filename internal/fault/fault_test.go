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

func TestEveryScenarioIsComplete(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, s := range scenarios() {
		if names[s.name] || s.name == costScenario || s.name == streamScenario {
			t.Errorf("there are two scenarios %q", s.name)
		}
		names[s.name] = true
		if s.what == "" || s.rounds == 0 || s.epoch == 0 || s.round == nil || len(s.loads) == 0 || s.setup.servers == 0 {
			t.Errorf("scenario %q is not complete", s.name)
		}
	}
	for _, d := range durables() {
		attempts, ackWait, err := d.limits(0)
		if names[d.name] || d.name == costScenario || d.what == "" || err != nil || attempts == 0 || ackWait == 0 || len(d.replicas) == 0 {
			t.Errorf("scenario %q is not complete, or there are two", d.name)
		}
		for _, n := range d.replicas {
			size := d.size(n)
			if !d.fits(n) || size.count == 0 || size.within == 0 || size.kill == 0 || (size.faults > 0) != (d.fault != nil) {
				t.Errorf("scenario %q is not complete at %d replicas", d.name, n)
			}
		}
		names[d.name] = true
	}
	if chosen, err := choose(&options{scenario: "events,kill"}); err != nil || len(chosen) != 1 {
		t.Errorf("chosen: %v, %v", chosen, err)
	}
	if _, err := choose(&options{scenario: "kill,nonsense"}); err == nil {
		t.Error("a scenario that does not exist was accepted")
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for percent, want := range map[int]float64{50: 50, 99: 99, 100: 100} {
		if got := quantile(hundred, percent); got != want {
			t.Errorf("the quantile %d of 1 to 100 is %v", percent, got)
		}
	}
	if got := quantile([]float64{3}, 99); got != 3 {
		t.Errorf("the quantile of one value is %v", got)
	}
	if got := quantile(nil, 50); got != 0 {
		t.Errorf("the quantile of nothing is %v", got)
	}
}
