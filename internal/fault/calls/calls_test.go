//go:build linux

package calls

import "testing"

func TestEveryScenarioIsComplete(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, s := range scenarios() {
		if names[s.Name] {
			t.Errorf("there are two scenarios %q", s.Name)
		}
		names[s.Name] = true
		if s.What == "" || s.rounds == 0 || s.epoch == 0 || s.round == nil || len(s.loads) == 0 || s.setup.Servers == 0 {
			t.Errorf("scenario %q is not complete", s.Name)
		}
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
