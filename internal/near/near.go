// Package near finds the names that a misspelled name may stand for.
package near

import "strings"

// Names returns the names that a misspelled name may stand for, the nearest first, at
// most three: names at an edit distance of at most a third of the longer name, names that
// differ in case or in the package alone, and names that the name is a part of.
func Names(name string, names []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	for _, n := range names {
		d, ok := distance(name, n)
		if !ok {
			continue
		}
		at := len(found)
		for at > 0 && found[at-1].distance > d {
			at--
		}
		found = append(found[:at:at], append([]candidate{{n, d}}, found[at:]...)...)
		if len(found) > 3 {
			found = found[:3]
		}
	}
	list := make([]string, len(found))
	for i, f := range found {
		list[i] = f.name
	}
	return list
}

// Name returns the name that a misspelled name most likely stands for, "" if there is none.
func Name(name string, names []string) string {
	if found := Names(name, names); len(found) > 0 {
		return found[0]
	}
	return ""
}

// distance returns how far two names are apart, and whether one may stand for the other.
func distance(name, other string) (int, bool) {
	a, b := strings.ToLower(name), strings.ToLower(other)
	switch {
	case a == "" || b == "" || len(a) > maxCompared || len(b) > maxCompared:
		return 0, false
	case a == b || strings.HasSuffix(b, "."+a) || strings.HasSuffix(a, "."+b):
		return 0, true
	}
	d := edits(a, b)
	if d <= max(len(a), len(b))/3 {
		return d, true
	}
	// A short name of a service, misspelled.
	short := b[strings.LastIndexByte(b, '.')+1:]
	if !strings.Contains(a, ".") && short != b {
		if d := edits(a, short); d <= max(len(a), len(short))/3 {
			return d, true
		}
	}
	return d, len(a) >= 3 && strings.Contains(b, a)
}

// maxCompared bounds the length of names that are compared.
const maxCompared = 256

// edits returns how many bytes have to be inserted, removed, replaced or swapped with their
// neighbour to make b of a (F. J. Damerau, 1964; the algorithm is that of the optimal string
// alignment, in three rows).
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// DidYouMean returns the end of the message about an unknown name: the names that it may stand
// for, else a few of those that there are; noun is the plural of what is named.
func DidYouMean(name string, names []string, noun string) string {
	if near := Names(name, names); len(near) > 0 {
		return "; did you mean " + strings.Join(near, ", ") + "?"
	}
	const most = 12
	switch {
	case len(names) == 0:
		return "; there are no " + noun
	case len(names) > most:
		return "; the " + noun + " are " + strings.Join(names[:most], ", ") + ", ..."
	default:
		return "; the " + noun + " are " + strings.Join(names, ", ")
	}
}
