package selection

import (
	"fmt"
	"slices"
	"strings"
)

// maxShortage is how many instances the text of a shortage names.
const maxShortage = 5

// Shortage says why [Picker.Pick] returns [ErrNoInstance], for the text of an error: what
// an instance has to be, and, of some instances, what they are instead. Those that the
// strategy chooses come first. It takes O(n).
func (p *Picker) Shortage() string {
	text := p.wanted()
	chosen, rest := p.members()
	named := slices.Concat(chosen, rest)
	left := max(len(named)-maxShortage, 0)
	var list []string
	for _, i := range named[:len(named)-left] {
		list = append(list, i.id+" "+p.obstacle(i))
	}
	if left > 0 {
		list = append(list, fmt.Sprintf("%d more", left))
	}
	if len(list) > 0 {
		text += " (" + strings.Join(list, "; ") + ")"
	}
	return text
}

// wanted says that no instance is as it has to be.
func (p *Picker) wanted() string {
	var conditions []string
	if l, ok := p.strategy.(labelled); ok {
		conditions = append(conditions, "has the "+l.labels())
	}
	conditions = append(conditions, "runs", "is healthy", "answers")
	if p.method != "" {
		conditions = append(conditions, "has the method "+p.method)
	}
	last := len(conditions) - 1
	return "none " + strings.Join(conditions[:last], ", ") + " and " + conditions[last]
}

// members returns the known instances, in the order of their IDs: those that the strategy
// chooses, and the others.
func (p *Picker) members() (chosen, rest []*Instance) {
	p.set.mu.Lock()
	all := slices.Clone(p.set.members)
	p.set.mu.Unlock()
	for _, i := range all {
		if p.chooses(i) {
			chosen = append(chosen, i)
		} else {
			rest = append(rest, i)
		}
	}
	return chosen, rest
}

// obstacle says what keeps an instance from being picked.
func (p *Picker) obstacle(i *Instance) string {
	if l, ok := p.strategy.(labelled); ok {
		if text := l.lacks(i); text != "" {
			return text
		}
	}
	if text := p.set.trouble(i); text != "" {
		return text
	}
	switch {
	case p.method != "" && !i.Serves(p.method):
		return "lacks the method"
	case p.chooses(i):
		return "has just come"
	case i.Reserved():
		return "is reserved"
	default:
		return "is not chosen"
	}
}

// trouble says why an instance is no candidate; "" if it is one.
func (s *Set) trouble(i *Instance) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case i.state != StateRunning:
		return "is " + i.state.String()
	case i.unhealthy:
		return "is unhealthy"
	case i.dead:
		return "does not answer"
	case i.gone:
		return "has left"
	default:
		return ""
	}
}
