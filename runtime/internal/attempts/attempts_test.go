package attempts

import (
	"math/rand/v2"
	"testing"
)

// worked is a message with what really happened to it.
type worked struct {
	message  Message
	record   Record
	most     int
	poison   bool // its handler ends the process
	begun    int  // handlers
	counts   int  // those that failed, or were lost while nothing else ran
	numbers  []int
	finished bool
	// buried is how many attempts the message had when it was given up.
	buried int
}

// deliver has the next worker look at the message.
func (w *worked) deliver() Try {
	w.message.Delivered++
	return New(w.message, w.record, w.most)
}

// begin runs the handler, as far as the record of its beginning.
func (w *worked) begin(t Try) {
	if t.Noted() {
		w.record = t.Begun()
	}
	w.begun++
	w.numbers = append(w.numbers, t.Number())
}

// step is one delivery with one of all the ends that it can have.
func (w *worked) step(r *rand.Rand) {
	t := w.deliver()
	if t.Exhausted() {
		w.finished, w.buried = true, t.Counted()
		return
	}
	end := r.IntN(6)
	if end == 0 { // it is only held, and lost
		return
	}
	if end == 1 { // it is only held, and given back
		if rec, needed := t.GivenBack(false); needed {
			w.record = rec
		}
		return
	}
	w.begin(t)
	switch {
	case w.poison:
	case end == 2: // another one ends the process, which a suspect does not run beside
		if t.Suspect() {
			w.record, _ = t.GivenBack(true)
		}
	case end == 3:
		w.record, _ = t.GivenBack(true)
	case end == 4 && !t.Last():
		w.counts++
		w.record = t.Failed()
	case end == 4:
		w.counts++
		w.finished, w.buried = true, t.Counted()+1
	default:
		w.finished = true
	}
}

func histories(t *testing.T, poison bool, check func(w *worked)) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2)) // the same ones each time
	for range 20_000 {
		w := &worked{message: Message{Sequence: 7, Stored: 8}, most: 1 + r.IntN(5), poison: poison}
		for i := 0; i < 200 && !w.finished; i++ {
			w.step(r)
		}
		for i, n := range w.numbers {
			if i > 0 && n <= w.numbers[i-1] {
				t.Fatalf("an attempt has the number of an earlier one: %+v", w)
			}
		}
		if w.buried > w.most {
			t.Fatalf("more attempts count than there may be: %+v", w)
		}
		check(w)
	}
}

// What a message did not do itself costs it no attempt, but for a process that is
// lost during its last one.
func TestMessagesAreNotGivenUpForWhatOthersDid(t *testing.T) {
	t.Parallel()
	histories(t, false, func(w *worked) {
		if w.buried > 0 && w.counts < w.most-1 {
			t.Fatalf("given up after %d failures: %+v", w.counts, w)
		}
		if w.counts > w.most {
			t.Fatalf("%d failures: %+v", w.counts, w)
		}
	})
}

// However often a message is held in vain or given back in between, it does not end
// more workers than it may have attempts.
func TestMessageThatEndsItsWorkersIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	histories(t, true, func(w *worked) {
		if !w.finished || w.begun > w.most {
			t.Fatalf("begun %d times: %+v", w.begun, w)
		}
		if w.buried != w.most {
			t.Fatalf("given up after %d attempts: %+v", w.buried, w)
		}
	})
}

func TestMessageThatEndsEachOfItsWorkersIsBegunAsOftenAsItMay(t *testing.T) {
	t.Parallel()
	for most := 1; most <= 5; most++ {
		w := &worked{message: Message{Sequence: 1, Stored: 1}, most: most}
		for try := w.deliver(); !try.Exhausted(); try = w.deliver() {
			if alone := w.begun > 0 && most > 1; try.Suspect() != alone && most > 1 {
				t.Errorf("%d of %d: suspect %v", w.begun, most, try.Suspect())
			}
			w.begin(try)
		}
		if w.begun != most {
			t.Errorf("begun %d times in place of %d", w.begun, most)
		}
	}
}

func TestRecordIsThatOfOneMessage(t *testing.T) {
	t.Parallel()
	m := Message{Sequence: 3, Stored: 30, Delivered: 2}
	mine := New(m, Record{}, 3).Failed()
	again, ok := Parse(mine.Encode())
	if !ok || again != mine {
		t.Fatalf("%+v became %+v", mine, again)
	}
	next := Message{Sequence: 3, Stored: 30, Delivered: 3}
	if got := New(next, mine, 3); got.Counted() != 1 || got.Suspect() || got.Number() != 3 {
		t.Errorf("the next one: %+v", got)
	}
	for _, other := range []Message{{Sequence: 4, Stored: 30, Delivered: 3}, {Sequence: 3, Stored: 31, Delivered: 3}} {
		if got := New(other, mine, 3); got.Counted() != 0 {
			t.Errorf("%+v has the attempts of another message", other)
		}
	}
	for _, bad := range []string{"", "x", "{}", `{"sequence":1,"attempts":-1}`, `{"sequence":-1}`} {
		if r, ok := Parse([]byte(bad)); ok {
			t.Errorf("%q is %+v", bad, r)
		}
	}
}

func TestWithoutRecordsEachDeliveryCounts(t *testing.T) {
	t.Parallel()
	for delivered := 1; delivered <= 4; delivered++ {
		try := Blind(Message{Sequence: 1, Stored: 1, Delivered: delivered}, 3)
		_, recorded := try.GivenBack(true)
		if try.Number() != delivered || try.Exhausted() != (delivered > 3) || try.Last() != (delivered >= 3) || try.Suspect() || try.Noted() || recorded {
			t.Errorf("delivery %d: %+v", delivered, try)
		}
	}
}

// A consumer that was deleted and made anew counts its deliveries anew.
func TestConsumerThatCountsAnewKeepsTheAttempts(t *testing.T) {
	t.Parallel()
	r := New(Message{Sequence: 1, Stored: 1, Delivered: 5}, Record{Sequence: 1, Stored: 1, Delivered: 4, Attempts: 2, Tries: 4}, 9).Failed()
	try := New(Message{Sequence: 1, Stored: 1, Delivered: 2}, r, 9)
	if try.Counted() != 3 || !try.Suspect() || try.Number() != 7 {
		t.Errorf("%+v", try)
	}
}
