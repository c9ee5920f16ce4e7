package check

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// orderTimeout bounds the search for one register.
const orderTimeout = 20 * time.Second

// operation is a put into a register, or with id 0 the reading of it in the end.
type operation struct {
	id      uint64
	unknown bool // what it replied, and whether it took effect
}

// register is a register that each put swaps.
//
//nolint:gochecknoglobals // a constant
var register = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		in := input.(operation) //nolint:forcetypeassert // nothing else goes in
		if !in.unknown && state != output {
			return false, state
		}
		if in.id == 0 {
			return true, state
		}
		return true, in.id
	},
}

// judgeOrder looks for an order that explains what callers saw of each register.
func (v *Verdict) judgeOrder(h *History) {
	for key, ops := range operations(h) {
		switch porcupine.CheckOperationsTimeout(register, ops, orderTimeout) {
		case porcupine.Ok:
		case porcupine.Unknown:
			v.Undecided++
		case porcupine.Illegal:
			v.foundf(&v.Nonlinear, "no order explains the %d calls on register %d", len(ops), key)
		}
	}
}

// operations are the calls by register, with a reading at the end.
//
// A call of unknown outcome takes effect at some time after it began, or never.
// Each id is put once, so there is at most one call that found it in its register.
// Where there is none, leaving the call out changes nothing for the others; where
// there is one, the unknown call came before the end of that one. Without these
// two facts the search would try all subsets of the unknown calls.
func operations(h *History) map[uint32][]porcupine.Operation {
	ends := make(map[uint64]int64) // when the call that found this id returned
	for _, id := range h.Stored.Registers {
		ends[id] = math.MaxInt64
	}
	for _, c := range h.Calls {
		if c.Outcome == history.Accepted {
			ends[c.Previous] = c.End
		}
	}
	ops := make(map[uint32][]porcupine.Operation)
	for _, c := range h.Calls {
		op := porcupine.Operation{Input: operation{id: c.ID}, Call: c.Begin, Output: c.Previous, Return: c.End}
		switch c.Outcome {
		case history.Accepted:
		case history.Unknown:
			end, seen := ends[c.ID]
			if !seen {
				continue
			}
			op.Input = operation{id: c.ID, unknown: true}
			op.Return = max(end, c.Begin)
		case history.Refused, history.GivenUp:
			continue
		}
		ops[c.Key] = append(ops[c.Key], op)
	}
	for key := range ops {
		ops[key] = append(ops[key], porcupine.Operation{
			Input: operation{}, Output: h.Stored.Registers[key], Call: math.MaxInt64 - 1, Return: math.MaxInt64,
		})
	}
	return ops
}
