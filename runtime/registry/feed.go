package registry

// feedLength is how many changes may wait for a reader, beside the difference that the
// reader is catching up with.
const feedLength = 4096

// Feed has the changes that one reader of a view has not read yet. The first ones say
// which instances there are, and all that were read always add up to the view: a reader
// that is too slow for each step gets the difference between the instances that it knows
// and those of the view, so that a feed is never larger than its view. A Feed is not safe
// for concurrent use.
type Feed struct {
	view   *View
	told   map[Key]*Record // the instances that the reader knows
	queue  []Change
	limit  int  // of the queue
	behind bool // the queue does not lead to the view: the difference is needed
}

// NewFeed makes the feed of a new reader.
func (v *View) NewFeed() *Feed {
	return &Feed{view: v, told: make(map[Key]*Record), behind: true}
}

// Add takes a change of the view.
func (f *Feed) Add(c Change) {
	switch {
	case f.behind: // the difference will have it
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

// catchUp fills the queue with the difference between the reader and the view.
func (f *Feed) catchUp() {
	f.behind, f.queue = false, nil
	for key, r := range f.told {
		if f.view.record(key) == nil {
			f.queue = append(f.queue, Diff(r, nil, f.view.endingOf(key))...)
		}
	}
	f.view.Instances(func(i Instance) bool {
		f.queue = append(f.queue, Diff(f.told[i.Record.Key()], i.Record, Expired)...)
		return true
	})
	f.limit = len(f.queue) + feedLength
}
