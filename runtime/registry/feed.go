package registry

// feedLength is how many changes may wait for a reader beside the difference
// that it is reading.
const feedLength = 4096

// Feed is what one reader of a view is still to be told. It begins with all that
// is there, and what it gives out always adds up to the view: a reader that is
// too slow for each step gets the difference between what it was told and what
// is, so that it holds no more than the view does. A Feed is not safe for
// concurrent use.
type Feed struct {
	view   *View
	told   map[Key]*Record
	queue  []Change
	limit  int  // of the queue
	behind bool // the queue does not lead to what is
}

// NewFeed makes the feed of a new reader.
func (v *View) NewFeed() *Feed {
	return &Feed{view: v, told: make(map[Key]*Record), behind: true}
}

// Add takes a change of the view.
func (f *Feed) Add(c Change) {
	switch {
	case f.behind: // the difference has it
	case len(f.queue) >= f.limit:
		f.queue, f.behind = nil, true
	default:
		f.queue = append(f.queue, c)
	}
}

// Next returns the next change, if there is one.
func (f *Feed) Next() (Change, bool) {
	if f.behind {
		f.catchUp()
	}
	if len(f.queue) == 0 {
		return Change{}, false
	}
	c := f.queue[0]
	f.queue = f.queue[1:]
	if len(f.queue) == 0 {
		f.queue = nil
	}
	if key := c.Record.Key(); c.Gone() {
		delete(f.told, key)
	} else {
		f.told[key] = c.Record
	}
	return c, true
}

// catchUp fills the queue with the difference.
func (f *Feed) catchUp() {
	f.behind, f.queue = false, nil
	for key, r := range f.told {
		if f.view.record(key) == nil {
			f.queue = append(f.queue, Diff(r, nil, f.view.ended(key))...)
		}
	}
	f.view.Instances(func(i Instance) bool {
		f.queue = append(f.queue, Diff(f.told[i.Record.Key()], i.Record, Expired)...)
		return true
	})
	f.limit = len(f.queue) + feedLength
}
