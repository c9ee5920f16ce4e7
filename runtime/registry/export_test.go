package registry

// Remembered is how many tombstones there are.
func (v *View) Remembered() int { return len(v.gone) }

// EndingOf is what would be told of a key that is not there.
func (v *View) EndingOf(key Key) Kind { return v.ended(key) }
