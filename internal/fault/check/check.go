// Package check judges what a run of the fault harness left behind: the histories that
// the processes recorded, and the contents of the stores. It knows nothing of processes.
//
//	check.go    Judge, for a single active service: did two leaders act at once, do the
//	            tokens increase, was a write lost, doubled or seen in an impossible order
//	acting.go   terms, and handlers and replies of different terms
//	stored.go   writes that were accepted, refused or fenced off
//	order.go    an order of calls that explains what callers saw of each register
//	durable.go  JudgeDurable, for commands and durable events: attempts and their reasons
//	ends.go     how each command and event ended, and what its sender was told
//	tally.go    the attempts that count
package check

import (
	"github.com/aegisrpc/aegis/internal/fault/history"
)

// History is what one run left behind.
type History struct {
	// Processes has the records of each process that stood for election.
	Processes map[string][]history.Record
	// Calls has the records of all callers.
	Calls []history.Record
	// Stored is what the store holds in the end, nil if the store itself was
	// lost in the run: then writes cannot be judged.
	Stored *Stored
}

// Stored is everything that the leaders wrote, in the order of the store.
type Stored struct {
	Writes    []Write
	Registers map[uint32]uint64 // in the end
}

// Write is one put, or with ID 0 the mark with which a term begins.
type Write struct {
	ID   uint64
	Key  uint32
	Term uint64
}

// Verdict counts violations. All counts but the last two have to be zero.
type Verdict struct {
	findings

	// Overlaps are handlers that were started, and replies that were sent, by a
	// leader when a later one had already started a handler.
	Overlaps int `json:"overlaps"`
	// Tokens are terms that two processes had, or that did not increase.
	Tokens int `json:"tokens"`
	// Unfenced are writes of a term behind one of a later term in the store.
	Unfenced int `json:"unfenced"`
	// Lost are accepted calls that are not in the store.
	Lost int `json:"lost"`
	// Doubled are calls that are in the store more than once.
	Doubled int `json:"doubled"`
	// Contradicted are calls that were refused as not run, and are in the store.
	Contradicted int `json:"contradicted"`
	// Nonlinear are registers with a history that no order explains.
	Nonlinear int `json:"nonlinear"`

	// Stragglers are handlers that were let in before a later leader acted, by a
	// process that was stopped between that and the handler's first line. No
	// lease can prevent them; fencing makes them harmless.
	Stragglers int `json:"stragglers"`
	// Undecided are registers whose history took too long to judge.
	Undecided int `json:"undecided"`
}

// Bad returns the number of violations.
func (v *Verdict) Bad() int {
	return v.Overlaps + v.Tokens + v.Unfenced + v.Lost + v.Doubled + v.Contradicted + v.Nonlinear
}

// Add adds the counts and findings of another verdict.
func (v *Verdict) Add(o Verdict) {
	v.Overlaps += o.Overlaps
	v.Tokens += o.Tokens
	v.Unfenced += o.Unfenced
	v.Lost += o.Lost
	v.Doubled += o.Doubled
	v.Contradicted += o.Contradicted
	v.Nonlinear += o.Nonlinear
	v.Stragglers += o.Stragglers
	v.Undecided += o.Undecided
	v.Findings = append(v.Findings, o.Findings...)
}

// Judge applies all checks.
func Judge(h *History) Verdict {
	var v Verdict
	v.judgeTokens(h)
	v.judgeActing(h)
	if h.Stored != nil {
		v.judgeStored(h)
		v.judgeOrder(h)
	}
	return v
}
