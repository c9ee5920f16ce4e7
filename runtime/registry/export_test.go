package registry

// Remembered returns the number of tombstones.
func (v *View) Remembered() int { return len(v.gone) }

// EndingOf returns the kind of change that ended the instance of a key.
func (v *View) EndingOf(key Key) Kind { return v.endingOf(key) }
