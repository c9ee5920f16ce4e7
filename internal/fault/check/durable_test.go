package check

import (
	"fmt"
	"testing"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/history"
)

// at is so many milliseconds after the beginning.
func at(ms int64) int64 { return ms * int64(time.Millisecond) }

// try is one attempt; an end of 0 is none. Its run is when it began.
func try(id uint64, key uint32, attempt uint64, begin, end int64, outcome history.Outcome) []history.Record {
	r := history.Record{Kind: history.Started, ID: id, Key: key, Term: attempt, Begin: at(begin), Previous: uint64(begin)}
	if end == 0 {
		return []history.Record{r}
	}
	ended := r
	ended.Kind, ended.End, ended.Outcome = history.Ended, at(end), outcome
	return []history.Record{r, ended}
}

// signs are those of a process, ten a second.
func signs(from, to int64) (all []history.Record) {
	for ; from < to; from += 100 {
		all = append(all, history.Record{Kind: history.Answered, Begin: at(from), End: at(from + 1)})
	}
	return all
}

func called(id uint64, key uint32) history.Record {
	return history.Record{Kind: history.Called, Outcome: history.Accepted, ID: id, Key: key, End: at(1)}
}

func join(parts ...[]history.Record) (all []history.Record) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// goodEvents are worked by a, which is killed at 5000 with event 3 in its hands,
// and by b. Event 2 fails at first, and 4 for good; 1, 2 and 3 are of one key.
// NATS is away from 20000 to 21000.
func goodEvents() *Durable {
	return &Durable{
		Workers: map[string][]history.Record{
			"a": join(signs(0, 5000),
				try(1, 1, 1, 100, 101, history.Accepted),
				try(2, 1, 1, 102, 103, history.Refused),
				try(2, 1, 2, 200, 201, history.Accepted),
				try(3, 1, 1, 4999, 0, 0)),
			"b": join(signs(0, 40_000),
				try(3, 1, 2, 7000, 7001, history.Accepted),
				try(4, 0, 1, 8000, 8001, history.GivenUp),
				try(5, 0, 1, 19_900, 19_901, history.Accepted),
				try(6, 2, 1, 30_000, 30_001, history.Accepted)),
		},
		Sent:     []history.Record{called(1, 1), called(2, 1), called(3, 1), called(4, 0), called(5, 0), called(6, 2)},
		Killed:   map[string]int64{"a": at(5000)},
		Outages:  []Outage{{at(20_000), at(21_000)}},
		Dead:     []Dead{{ID: 4, Attempts: 1, At: at(8002)}},
		Attempts: 3, AckWait: 2 * time.Second,
	}
}

// goodCommands are goodEvents as commands.
func goodCommands() *Durable {
	h := goodEvents()
	h.Results = []Result{
		success(1, 100),
		success(2, 200),
		success(3, 7000),
		{Command: "x.4", ID: 4, End: End{Code: 9}},
		success(5, 19_900),
		success(6, 30_000),
	}
	h.Found = map[uint64]Found{2: {State: FoundEnded, End: h.Results[1].End}, 4: {State: FoundEnded, End: h.Results[3].End}}
	for i := range h.Sent {
		h.Sent[i].Key = 0
	}
	for _, r := range h.Results {
		told := history.Record{Kind: history.Resulted, ID: r.ID, Outcome: history.GivenUp, End: at(10_000), Term: r.Code}
		if r.OK {
			told.Outcome, told.Previous, told.Term = history.Accepted, r.ID, r.Run
		}
		h.Sent = append(h.Sent, told)
	}
	return h
}

func success(id, run uint64) Result {
	return Result{Command: fmt.Sprint("x.", id), ID: id, End: End{OK: true, Run: run}}
}

func TestGoodDurableWorkIsGood(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*Durable{"events": goodEvents(), "commands": goodCommands()} {
		v := JudgeDurable(h)
		if v.Bad() != 0 || v.Accepted != 6 || v.Done != 5 || v.Dead != 1 || v.Again != 2 || v.MostAttempts != 2 || v.Stalls != 0 {
			t.Errorf("good %s were judged %+v", name, v)
		}
	}
}

// again has b handle an event for another time.
func again(id uint64, key uint32, attempt uint64, begin int64) func(*Durable) {
	return func(h *Durable) {
		h.Workers["b"] = append(h.Workers["b"], try(id, key, attempt, begin, begin+1, history.Accepted)...)
	}
}

// losesWorkers has so many workers killed while they handle an event.
func losesWorkers(id uint64, key uint32, attempt uint64, begin int64, n int) func(*Durable) {
	return func(h *Durable) {
		for i := range int64(n) {
			name := "lost" + string(rune('a'+i))
			from := begin + 2000*i
			h.Workers[name] = join(signs(from-100, from+100), try(id, key, attempt+uint64(i), from, 0, 0))
			h.Killed[name] = at(from + 50)
		}
	}
}

// given says when the workers b and c were given an item.
func given(id uint64, b, c int64) map[string]map[uint64][]int64 {
	return map[string]map[uint64][]int64{"b": {id: {at(b)}}, "c": {id: {at(c)}}}
}

func TestAttemptsThatHaveAReasonAreGood(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*Durable){
		"acknowledged by a process that died of it": func(h *Durable) {
			h.Workers["a"] = append(h.Workers["a"], try(7, 0, 1, 4990, 4991, history.Accepted)...)
			h.Sent = append(h.Sent, called(7, 0))
			again(7, 0, 2, 7100)(h)
		},
		"acknowledged just before NATS went":  again(5, 0, 2, 21_500),
		"forgotten by NATS, as it was killed": again(5, 0, 1, 21_500),
		"held by a process that had no time": func(h *Durable) {
			h.Workers["c"] = join(signs(9000, 10_000), signs(12_500, 13_000), try(7, 0, 1, 10_000, 12_400, history.Accepted))
			h.Sent = append(h.Sent, called(7, 0))
			again(7, 0, 2, 12_300)(h)
		},
		"acknowledged as the consumer got another leader": func(h *Durable) {
			h.Deposed = []Outage{{at(30_000), at(30_100)}}
			again(6, 2, 2, 33_000)(h)
		},
		"given to two, as the consumer got another leader": func(h *Durable) {
			h.Deposed, h.Given = []Outage{{at(26_000), at(26_100)}}, given(6, 25_000, 28_900)
			h.Workers["c"] = join(signs(29_000, 32_000), try(6, 2, 2, 31_003, 31_005, history.Accepted))
		},
		"had by one, and given to another one that was faster, as the consumer got another leader": func(h *Durable) {
			h.Deposed, h.Given = []Outage{{at(26_000), at(26_100)}}, given(6, 28_900, 25_000)
			h.Workers["c"] = join(signs(29_000, 42_000), try(6, 2, 2, 41_003, 41_005, history.Accepted))
		},
		"refused and not stored": func(h *Durable) {
			h.Sent = append(h.Sent, history.Record{Kind: history.Called, Outcome: history.Refused, ID: 7})
		},
		"lost in its last attempt": func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 3), called(8, 3))
			h.Dead = append(h.Dead, Dead{ID: 7, Attempts: 3, At: at(9000)})
			losesWorkers(7, 3, 1, 3000, 3)(h)
			again(8, 3, 1, 9001)(h)
		},
		"lost twice, and held once before": func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 0))
			h.Dead = append(h.Dead, Dead{ID: 7, Attempts: 3, At: at(9000)})
			losesWorkers(7, 0, 2, 3000, 2)(h)
		},
		"lost once among others, and failed as often as it may": func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 0))
			losesWorkers(7, 0, 1, 3000, 1)(h)
			h.Workers["b"] = join(h.Workers["b"], try(7, 0, 2, 5000, 5001, history.Refused), try(7, 0, 3, 5100, 5101, history.Refused),
				try(7, 0, 4, 5200, 5201, history.Accepted))
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := goodEvents()
			change(h)
			if v := JudgeDurable(h); v.Bad() != 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestBadEventsAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*Durable)
		count func(*DurableVerdict) int
	}{
		{"an event that nobody handled", func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 0))
		}, func(v *DurableVerdict) int { return v.Lost }},
		{"an event that failed, and nothing more", func(h *Durable) {
			h.Dead = nil
		}, func(v *DurableVerdict) int { return v.Lost }},
		{"an event acknowledged before it was handled", func(h *Durable) {
			h.Workers["b"] = h.Workers["b"][:len(h.Workers["b"])-1]
		}, func(v *DurableVerdict) int { return v.Lost }},
		{"an event that consumers still have", func(h *Durable) {
			h.Sent, h.Left = append(h.Sent, called(7, 0)), 1
		}, func(v *DurableVerdict) int { return v.Hung }},
		{"a refused event that was stored", func(h *Durable) {
			h.Sent[0].Outcome = history.Refused
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"one delivery twice", again(6, 2, 1, 31_000), func(v *DurableVerdict) int { return v.Doubled }},
		{"again although it was done", again(6, 2, 2, 33_000), func(v *DurableVerdict) int { return v.Doubled }},
		{"again although it was acknowledged before the process died", again(1, 1, 2, 7500), func(v *DurableVerdict) int { return v.Doubled }},
		{"again although it was done long before NATS went", again(3, 1, 3, 21_500), func(v *DurableVerdict) int { return v.Doubled }},
		{"two at once", func(h *Durable) {
			h.Workers["c"] = join(signs(29_000, 32_000), try(6, 2, 2, 30_000, 30_005, history.Accepted))
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"two at once as the consumer got another leader", func(h *Durable) {
			h.Deposed = []Outage{{at(30_000), at(30_100)}}
			h.Workers["c"] = join(signs(29_000, 40_000), try(7, 0, 1, 29_500, 35_000, history.Accepted))
			h.Sent = append(h.Sent, called(7, 0))
			again(7, 0, 2, 31_500)(h)
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"given twice to one, as the consumer got another leader", func(h *Durable) {
			h.Deposed, h.Given = []Outage{{at(26_000), at(26_100)}}, given(6, 25_000, 28_900)
			h.Workers["b"] = join(h.Workers["b"], try(6, 2, 2, 31_003, 31_005, history.Accepted))
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"given to another one long after the consumer got another leader", func(h *Durable) {
			h.Deposed, h.Given = []Outage{{at(26_000), at(26_100)}}, given(6, 25_000, 29_200)
			h.Workers["c"] = join(signs(29_000, 32_000), try(6, 2, 2, 31_003, 31_005, history.Accepted))
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"given to another one when it was done", func(h *Durable) {
			h.Deposed, h.Given = []Outage{{at(28_000), at(28_500)}}, given(6, 25_000, 31_400)
			h.Workers["c"] = join(signs(29_000, 32_000), try(6, 2, 2, 31_503, 31_505, history.Accepted))
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"two dead letters", func(h *Durable) {
			h.Dead = append(h.Dead, h.Dead[0])
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"more attempts than there may be", func(h *Durable) {
			h.Attempts = 1
		}, func(v *DurableVerdict) int { return v.Exceeded }},
		{"more failures than there may be", func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 0))
			for n := int64(1); n <= 3; n++ {
				h.Workers["b"] = append(h.Workers["b"], try(7, 0, uint64(n), 8000+100*n, 8001+100*n, history.Refused)...)
			}
			again(7, 0, 4, 9000)(h)
		}, func(v *DurableVerdict) int { return v.Exceeded }},
		{"more lost workers than there may be", func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 0))
			losesWorkers(7, 0, 1, 3000, 3)(h)
			again(7, 0, 4, 9000)(h)
		}, func(v *DurableVerdict) int { return v.Exceeded }},
		{"again after the last attempt was lost", func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 0))
			h.Workers["b"] = join(h.Workers["b"], try(7, 0, 1, 8000, 8001, history.Refused), try(7, 0, 2, 8100, 8101, history.Refused))
			losesWorkers(7, 0, 3, 8200, 1)(h)
			again(7, 0, 4, 10_500)(h)
		}, func(v *DurableVerdict) int { return v.Exceeded }},
		{"a dead letter with more attempts than there may be", func(h *Durable) {
			h.Dead = append(h.Dead, Dead{ID: 6, Attempts: 4, At: at(31_000)})
		}, func(v *DurableVerdict) int { return v.Exceeded }},
		{"dead for what others did", func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 0))
			losesWorkers(7, 0, 3, 3000, 1)(h)
			h.Dead = append(h.Dead, Dead{ID: 7, Attempts: 3, At: at(9000)})
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"a dead letter too soon", func(h *Durable) {
			h.Dead = append(h.Dead, Dead{ID: 6, Attempts: 2, At: at(31_000)})
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"an event out of nothing", again(9, 0, 1, 31_000), func(v *DurableVerdict) int { return v.Contradicted }},
		{"a later one while an earlier one is tried again", func(h *Durable) {
			h.Workers["b"] = append(h.Workers["b"], try(3, 1, 1, 150, 151, history.Accepted)...)
		}, func(v *DurableVerdict) int { return v.Disordered }},
		{"a later one before a dead letter", func(h *Durable) {
			h.Sent = append(h.Sent, called(7, 3), called(8, 3))
			h.Dead = append(h.Dead, Dead{ID: 7, Attempts: 3, At: at(9000)})
			again(8, 3, 1, 8999)(h)
		}, func(v *DurableVerdict) int { return v.Disordered }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := goodEvents()
			test.spoil(h)
			if v := JudgeDurable(h); test.count(&v) == 0 || len(v.Findings) == 0 {
				t.Errorf("not found: %+v", v)
			}
		})
	}
}

func TestBadCommandsAreFound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*Durable)
		count func(*DurableVerdict) int
	}{
		{"no result", func(h *Durable) { h.Results = h.Results[:5] }, func(v *DurableVerdict) int { return v.Lost }},
		{"a result that its sender never heard of", func(h *Durable) {
			h.Sent = h.Sent[:len(h.Sent)-1]
		}, func(v *DurableVerdict) int { return v.Hung }},
		{"no result, and it waits", func(h *Durable) {
			h.Results, h.Sent = h.Results[:5], h.Sent[:len(h.Sent)-1]
			h.Found[6] = Found{State: FoundWaiting}
		}, func(v *DurableVerdict) int { return v.Hung }},
		{"a result that was told and is stored no more", func(h *Durable) {
			h.Results[5].Gone = true
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"none of it, although it has a result", func(h *Durable) {
			h.Sent[len(h.Sent)-1].Outcome = history.Unknown
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"the result of another attempt", func(h *Durable) {
			h.Sent[len(h.Sent)-1].Term = 1
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"another error", func(h *Durable) {
			h.Sent[len(h.Sent)-3].Term = 1
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"something else to who found it by its id", func(h *Durable) {
			h.Found[2] = Found{State: FoundEnded, End: End{OK: true, Run: 1}}
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"nothing to who found it by its id", func(h *Durable) {
			h.Found[2] = Found{}
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"success of no attempt", func(h *Durable) { h.Results[0].Run = 1 }, func(v *DurableVerdict) int { return v.Contradicted }},
		{"success among the dead letters", func(h *Durable) {
			h.Dead = append(h.Dead, Dead{ID: 1, Attempts: 3, At: at(31_000)})
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"a refused command that has a result", func(h *Durable) {
			h.Sent[0].Outcome = history.Refused
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"two results", func(h *Durable) {
			h.Results = append(h.Results, h.Results[5])
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"again although there was a result", func(h *Durable) {
			h.Workers["b"] = append(h.Workers["b"], try(1, 0, 2, 11_000, 11_001, history.Accepted)...)
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"again although a result could be read, as the consumer got another leader", func(h *Durable) {
			h.Deposed, h.Given = []Outage{{at(26_000), at(26_100)}}, given(6, 25_000, 28_900)
			h.Workers["c"] = join(signs(29_000, 32_000), try(6, 2, 2, 30_500, 30_501, history.Accepted))
		}, func(v *DurableVerdict) int { return v.Doubled }},
		{"success that nobody had", func(h *Durable) { h.Results[3].OK = true }, func(v *DurableVerdict) int { return v.Contradicted }},
		{"failure without a dead letter", func(h *Durable) { h.Results[5].OK = false }, func(v *DurableVerdict) int { return v.Contradicted }},
		{"the result of another one", func(h *Durable) {
			h.Sent[len(h.Sent)-1].Previous = 1
		}, func(v *DurableVerdict) int { return v.Contradicted }},
		{"a result of nobody's", func(h *Durable) {
			h.Results = append(h.Results, Result{Command: "x.9"})
		}, func(v *DurableVerdict) int { return v.Contradicted }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := goodCommands()
			test.spoil(h)
			if v := JudgeDurable(h); test.count(&v) == 0 || len(v.Findings) == 0 {
				t.Errorf("not found: %+v", v)
			}
		})
	}
}
