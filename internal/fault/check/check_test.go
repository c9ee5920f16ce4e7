package check

import (
	"strings"
	"testing"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// Each test begins with a good history and spoils it in one way: a check that
// cannot fail is worth nothing.

// good is two terms: a puts 1 and 2, then b puts 3; call 4 was in flight when a
// died, and landed.
func good() *History {
	return &History{
		Processes: map[string][]history.Record{
			"a": {
				{Kind: history.Elected, Term: 10, Begin: 100},
				{Kind: history.Started, ID: 1, Term: 10, Begin: 110, End: 111},
				{Kind: history.Ended, ID: 1, Term: 10, End: 112},
				{Kind: history.Started, ID: 2, Term: 10, Begin: 120, End: 121},
				{Kind: history.Ended, ID: 2, Term: 10, End: 122},
				{Kind: history.Started, ID: 4, Term: 10, Begin: 130, End: 131},
			},
			"b": {
				{Kind: history.Elected, Term: 20, Begin: 200},
				{Kind: history.Started, ID: 3, Term: 20, Begin: 210, End: 211},
				{Kind: history.Ended, ID: 3, Term: 20, End: 212},
			},
		},
		Calls: []history.Record{
			{Kind: history.Called, Outcome: history.Accepted, ID: 1, Key: 7, Term: 10, Previous: 0, Begin: 109, End: 113},
			{Kind: history.Called, Outcome: history.Accepted, ID: 2, Key: 7, Term: 10, Previous: 1, Begin: 119, End: 123},
			{Kind: history.Called, Outcome: history.Unknown, ID: 4, Key: 7, Begin: 129, End: 205},
			{Kind: history.Called, Outcome: history.Accepted, ID: 3, Key: 7, Term: 20, Previous: 4, Begin: 209, End: 213},
			{Kind: history.Called, Outcome: history.Refused, ID: 5, Key: 7, Begin: 300, End: 301},
		},
		Stored: &Stored{
			Writes: []Write{
				{Term: 10},
				{ID: 1, Key: 7, Term: 10},
				{ID: 2, Key: 7, Term: 10},
				{ID: 4, Key: 7, Term: 10},
				{Term: 20},
				{ID: 3, Key: 7, Term: 20},
			},
			Registers: map[uint32]uint64{7: 3},
		},
	}
}

func TestGoodHistoryIsGood(t *testing.T) {
	t.Parallel()
	if v := Judge(good()); v.Bad() != 0 || v.Stragglers != 0 || v.Undecided != 0 {
		t.Errorf("a good history was judged %+v", v)
	}
}

func TestUnknownCallsMayTakeEffectLateOrNever(t *testing.T) {
	t.Parallel()
	never := good()
	never.Calls = append(never.Calls, history.Record{Kind: history.Called, Outcome: history.Unknown, ID: 6, Key: 7, Begin: 130, End: 131})
	late := good() // after its caller has given up, and after another call
	late.Calls[2].End = 130
	late.Calls = append(late.Calls, history.Record{Kind: history.Called, Outcome: history.Unknown, ID: 6, Key: 7, Begin: 110, End: 111})
	late.Stored.Writes = append(late.Stored.Writes, Write{ID: 6, Key: 7, Term: 20})
	late.Stored.Registers[7] = 6
	for name, h := range map[string]*History{"never": never, "late": late} {
		if v := Judge(h); v.Bad() != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestBadHistoriesAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*History)
		count func(*Verdict) int
	}{
		{"a handler let in under a later leader", func(h *History) {
			h.Processes["a"] = append(h.Processes["a"], history.Record{Kind: history.Started, ID: 9, Term: 10, Begin: 212, End: 213})
		}, func(v *Verdict) int { return v.Overlaps }},
		{"a reply under a later leader", func(h *History) {
			h.Processes["a"] = append(h.Processes["a"], history.Record{Kind: history.Ended, ID: 4, Term: 10, End: 230})
			h.Calls[2] = history.Record{Kind: history.Called, Outcome: history.Accepted, ID: 4, Key: 7, Term: 10, Previous: 2, Begin: 129, End: 231}
		}, func(v *Verdict) int { return v.Overlaps }},
		{"an overlap of three terms", func(h *History) {
			h.Processes["c"] = []history.Record{{Kind: history.Elected, Term: 30, Begin: 205}, {Kind: history.Started, ID: 8, Term: 30, Begin: 206, End: 206}}
		}, func(v *Verdict) int { return v.Overlaps }},
		{"a handler stopped on its way", func(h *History) {
			h.Processes["a"][5].End = 215
		}, func(v *Verdict) int { return v.Stragglers }},
		{"one term twice", func(h *History) {
			h.Processes["b"][0].Term = 10
		}, func(v *Verdict) int { return v.Tokens }},
		{"a token that goes back", func(h *History) {
			h.Processes["b"][0].Term = 9
		}, func(v *Verdict) int { return v.Tokens }},
		{"a lost write", func(h *History) {
			h.Stored.Writes = append(h.Stored.Writes[:2], h.Stored.Writes[3:]...)
		}, func(v *Verdict) int { return v.Lost }},
		{"a doubled write", func(h *History) {
			h.Stored.Writes = append(h.Stored.Writes, Write{ID: 1, Key: 7, Term: 20})
		}, func(v *Verdict) int { return v.Doubled }},
		{"a refused call that ran", func(h *History) {
			h.Stored.Writes = append(h.Stored.Writes, Write{ID: 5, Key: 7, Term: 20})
		}, func(v *Verdict) int { return v.Contradicted }},
		{"a write that no token fenced off", func(h *History) {
			h.Stored.Writes = append(h.Stored.Writes, Write{ID: 9, Key: 7, Term: 10})
		}, func(v *Verdict) int { return v.Unfenced }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := good()
			test.spoil(h)
			v := Judge(h)
			if test.count(&v) == 0 || len(v.Findings) == 0 {
				t.Errorf("not found: %+v", v)
			}
		})
	}
}

func TestImpossibleOrdersAreFound(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*History){
		"two calls that found the same": func(h *History) { h.Calls[3].Previous = 1 },
		"a write that was overwritten unseen": func(h *History) {
			h.Calls[1].Previous = 0
		},
		"a reply from the past": func(h *History) { // 2 before 1, though it began after 1's end
			h.Calls[0].Previous, h.Calls[1].Previous = 2, 0
		},
		"an unknown call found before it began": func(h *History) {
			h.Calls[2].Begin, h.Calls[2].End = 400, 401
		},
		"a register that does not hold the last write": func(h *History) { h.Stored.Registers[7] = 2 },
		"a register that holds what nobody wrote":      func(h *History) { h.Stored.Registers[7] = 99 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			spoil(h)
			if v := Judge(h); v.Nonlinear == 0 {
				t.Errorf("not found: %+v", v)
			}
		})
	}
}

func TestManyUnknownCallsAreDecided(t *testing.T) {
	t.Parallel()
	h := &History{Stored: &Stored{Registers: map[uint32]uint64{1: 0}}}
	previous, at := uint64(0), int64(0)
	for id := uint64(1); id <= 3000; id++ {
		at += 10
		c := history.Record{Kind: history.Called, Outcome: history.Accepted, ID: id, Key: 1, Previous: previous, Begin: at, End: at + 5}
		switch id % 3 {
		case 1: // took effect, and nobody told its caller
			c.Outcome, c.Previous = history.Unknown, 0
			previous = id
		case 2: // never took effect
			c.Outcome, c.Previous = history.Unknown, 0
		default:
			previous = id
		}
		h.Calls = append(h.Calls, c)
		if id == previous {
			h.Stored.Writes = append(h.Stored.Writes, Write{ID: id, Key: 1, Term: 1})
		}
	}
	h.Stored.Registers[1] = previous
	if v := Judge(h); v.Bad() != 0 || v.Undecided != 0 {
		t.Errorf("%s %+v", strings.Join(v.Findings, "\n"), v)
	}
}
