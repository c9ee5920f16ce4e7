package aegisadmin

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// LetterFilter picks dead letters. The zero value picks all of them.
type LetterFilter struct {
	// Method is the name of a method; "" for all.
	Method string
	// Reason is the pattern of a reason, see ReasonPattern; "" for all.
	Reason string
	// Consumer is the consumer that gave up an event, as DeadLetter has it; "" for all.
	Consumer string
	// ID is the id of a command; "" for all, and for events.
	ID string
	// After is a sequence after which the letters come; 0 for all.
	After uint64
	// UpTo is the sequence of the last letter; 0 for all. PutBack and Discard leave letters
	// alone that come after they have begun.
	UpTo uint64
}

// check returns an error for a filter that can match nothing.
func (f *LetterFilter) check() error {
	if f.ID != "" && !wire.ValidCommandID(f.ID) {
		return aegis.Errorf(aegis.CodeInvalidArgument, "%q is no id of a command", f.ID)
	}
	if f.Method != "" {
		return checkToken("a method", f.Method)
	}
	return nil
}

func (f *LetterFilter) wants(d *aegis.DeadLetter) bool {
	return (f.Method == "" || f.Method == d.Method) && (f.Consumer == "" || f.Consumer == d.Consumer) &&
		(f.Reason == "" || f.Reason == ReasonPattern(d.Reason))
}

// maxPattern bounds a pattern, in runes.
const maxPattern = 160

// ReasonPattern returns what reasons that differ only in numbers, ids and the like have in
// common: each word with a digit in it becomes "#", and a long reason is cut. Dead letters
// are put into groups by it. The pattern of a pattern is the pattern itself.
func ReasonPattern(reason string) string {
	var b strings.Builder
	n := 0
	for i, rest := 0, []rune(reason); i < len(rest) && n < maxPattern; n++ {
		end := i
		digit := false
		for end < len(rest) && (unicode.IsLetter(rest[end]) || unicode.IsDigit(rest[end])) {
			digit = digit || unicode.IsDigit(rest[end])
			end++
		}
		switch {
		case digit:
			b.WriteByte('#')
			i = end
		case unicode.IsSpace(rest[i]) || unicode.IsControl(rest[i]):
			b.WriteByte(' ')
			i++
		default:
			b.WriteRune(rest[i])
			i++
		}
	}
	return b.String()
}

// LetterGroup is the dead letters of a method with one pattern of reasons.
type LetterGroup struct {
	Service, Method string
	// Consumer is the consumer that gave up events; "" for commands.
	Consumer string
	// Reason is the pattern of the reasons, and Example one of them.
	Reason, Example string
	Count           int
	// First and Last are when the first and the last of them were given up, and Sequences
	// of those.
	First, Last                 time.Time
	FirstSequence, LastSequence uint64
}

// maxGroups bounds the groups of a service. What comes on top is counted in a group of its
// own for each method and consumer.
const maxGroups = 1000

// manyReasons is the reason of the group of all that has too many reasons.
const manyReasons = "(other reasons)"

// DeadLetterGroups counts the dead letters of a service by method, consumer and pattern of
// the reason, the greatest groups first. It reads all letters, one after the other. If
// there are more than 1,000 groups, the letters of the others are counted together, with
// the reason "(other reasons)".
func (a *Admin) DeadLetterGroups(ctx context.Context, service string) ([]LetterGroup, error) {
	type key struct{ method, consumer, reason string }
	groups := make(map[key]*LetterGroup)
	for d, err := range a.conn.DeadLetters(ctx, service) {
		if err != nil {
			return nil, err
		}
		k := key{d.Method, d.Consumer, ReasonPattern(d.Reason)}
		if groups[k] == nil && len(groups) >= maxGroups {
			k.reason = manyReasons
		}
		g := groups[k]
		if g == nil {
			g = &LetterGroup{
				Service: service, Method: d.Method, Consumer: d.Consumer, Reason: k.reason, Example: d.Reason,
				First: d.Time, FirstSequence: d.Sequence,
			}
			groups[k] = g
		}
		g.Count++
		g.Last, g.LastSequence = d.Time, d.Sequence
	}
	list := make([]LetterGroup, 0, len(groups))
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b LetterGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Method, b.Method), cmp.Compare(a.FirstSequence, b.FirstSequence))
	})
	return list, nil
}

// DeadLetters returns the dead letters of a service that a filter picks, the oldest first.
// The loop ends after an error.
func (a *Admin) DeadLetters(ctx context.Context, service string, f LetterFilter) iter.Seq2[*aegis.DeadLetter, error] {
	return func(yield func(*aegis.DeadLetter, error) bool) {
		if err := f.check(); err != nil {
			yield(nil, err)
			return
		}
		for after := f.After; ; {
			d, err := a.nextLetter(ctx, service, &f, after+1)
			switch {
			case err != nil:
				yield(nil, err)
				return
			case d == nil, f.UpTo != 0 && d.Sequence > f.UpTo:
				return
			case f.wants(d) && !yield(d, nil):
				return
			}
			after = d.Sequence
		}
	}
}

// nextLetter returns the oldest letter from a sequence on that has the method and the id of a
// filter; nil if there is none.
func (a *Admin) nextLetter(ctx context.Context, service string, f *LetterFilter, sequence uint64) (*aegis.DeadLetter, error) {
	found, err := a.in.NextLetter(ctx, service, f.Method, f.ID, sequence)
	if found == nil || err != nil {
		return nil, err
	}
	return found.(*aegis.DeadLetter), nil //nolint:forcetypeassert // it says so
}

// LetterCount is how many dead letters a filter picks.
type LetterCount struct {
	Count int
	// Omitted is how many of them cannot be put back, as they have no data.
	Omitted int
	// Oldest is when the first of them was given up.
	Oldest time.Time
	// UpTo is the sequence of the last of them: with it as LetterFilter.UpTo, no other
	// letters are treated than those that were counted.
	UpTo uint64
}

// CountDeadLetters counts the dead letters that a filter picks. It reads all letters.
func (a *Admin) CountDeadLetters(ctx context.Context, service string, f LetterFilter) (LetterCount, error) {
	var n LetterCount
	for d, err := range a.DeadLetters(ctx, service, f) {
		if err != nil {
			return n, err
		}
		if n.Count == 0 {
			n.Oldest = d.Time
		}
		if d.Omitted > 0 {
			n.Omitted++
		}
		n.Count++
		n.UpTo = d.Sequence
	}
	return n, nil
}

// Treated is what has become of the dead letters of a group.
type Treated struct {
	// Done is how many were put back or deleted.
	Done int
	// Left are those that stay, with the reason of each; at most 100 of them, and Failed
	// counts all.
	Left   []LetterFailure
	Failed int
}

// LetterFailure is why a dead letter stays.
type LetterFailure struct {
	Sequence uint64
	Err      error
}

// maxLeft bounds Treated.Left.
const maxLeft = 100

// PutBack puts back all dead letters that a filter picks, one after the other; each as
// aegis.Conn.PutBack does. Letters that cannot be put back stay, and the others are put back
// all the same. Called again it goes on: no letter is put back twice. progress is called
// after each letter, unless it is nil.
func (a *Admin) PutBack(ctx context.Context, service string, f LetterFilter, progress func(Treated)) (Treated, error) {
	return a.treat(ctx, service, f, progress, a.conn.PutBack)
}

// Discard deletes all dead letters that a filter picks.
func (a *Admin) Discard(ctx context.Context, service string, f LetterFilter, progress func(Treated)) (Treated, error) {
	return a.treat(ctx, service, f, progress, a.conn.DiscardDeadLetter)
}

func (a *Admin) treat(
	ctx context.Context, service string, f LetterFilter, progress func(Treated), one func(context.Context, *aegis.DeadLetter) error,
) (Treated, error) {
	var t Treated
	if err := a.check(service); err != nil {
		return t, err
	}
	if f.UpTo == 0 { // a letter that is put back may die again meanwhile
		stream, err := a.in.Stores.Find(ctx, wire.DeadStream(a.in.Layout.Namespace, service))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return t, nil
		}
		if err != nil {
			return t, a.failed(err)
		}
		f.UpTo = max(stream.CachedInfo().State.LastSeq, 1)
	}
	for d, err := range a.DeadLetters(ctx, service, f) {
		if err != nil {
			return t, err
		}
		switch err := one(ctx, d); {
		case err == nil:
			t.Done++
		case ctx.Err() != nil || hopeless(err):
			return t, err
		default:
			t.Failed++
			if len(t.Left) < maxLeft {
				t.Left = append(t.Left, LetterFailure{Sequence: d.Sequence, Err: err})
			}
		}
		if progress != nil {
			progress(t)
		}
	}
	return t, nil
}

// hopeless reports whether an error about one letter is one about all others as well.
func hopeless(err error) bool {
	switch aegis.CodeOf(err) {
	case aegis.CodePermissionDenied, aegis.CodeCanceled, aegis.CodeResourceExhausted:
		return true
	default:
		return false
	}
}
