package selection

// Where returns the strategy that picks as another one does, but only among the instances
// whose label has a value; reserved instances are among them. nil means [LeastLoaded], and
// another Where chooses the instances that have both labels. Where none has it, calls end
// with [ErrNoInstance].
func Where(key, value string, then Strategy) Strategy {
	if then == nil {
		then = LeastLoaded()
	}
	w := where{Strategy: then, key: key, value: value}
	if p, ok := then.(Preparer); ok {
		return preparedWhere{where: w, Preparer: p}
	}
	return w
}

type where struct {
	Strategy
	key, value string
}

// Chooses reports whether the instance has the label, and the other strategy chooses it.
func (w where) Chooses(i *Instance) bool {
	if value, ok := i.Label(w.key); !ok || value != w.value {
		return false
	}
	inner, ok := w.Strategy.(Chooser)
	return !ok || inner.Chooses(i)
}

// labelled is implemented by strategies that choose by labels.
type labelled interface {
	// labels names the labels that an instance must have, such as "label a=b".
	labels() string
	// lacks says which label an instance has instead of one that it must have, or that it
	// lacks; "" if it has all.
	lacks(i *Instance) string
}

func (w where) labels() string {
	own := w.key + "=" + w.value
	if inner, ok := w.Strategy.(labelled); ok {
		return inner.labels() + " and the label " + own
	}
	return "label " + own
}

func (w where) lacks(i *Instance) string {
	switch value, ok := i.Label(w.key); {
	case !ok:
		return "has no label " + w.key
	case value != w.value:
		return "has " + w.key + "=" + value
	}
	if inner, ok := w.Strategy.(labelled); ok {
		return inner.lacks(i)
	}
	return ""
}

// preparedWhere is a where for a strategy that prepares its views.
type preparedWhere struct {
	where
	Preparer
}
