package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func at(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }

func placing(from, to int, id string, sequence, term uint64) operation {
	return operation{called: at(from), returned: at(to), placed: entry{id, sequence, term}}
}

func reading(from, to int, after uint64, orders ...entry) operation {
	return operation{called: at(from), returned: at(to), after: after, limit: 10, orders: orders}
}

func TestHistoryOfOneLeaderAfterTheOtherIsRight(t *testing.T) {
	t.Parallel()
	a, b, c := entry{"a", 1, 4}, entry{"b", 2, 4}, entry{"c", 3, 7}
	require.Empty(t, violations([]operation{
		placing(0, 10, "a", 1, 4),
		placing(5, 30, "b", 2, 4), // its answer came late: c was called before that
		placing(11, 20, "c", 3, 7),
		reading(12, 19, 0, a),       // while b and c are accepted
		reading(12, 19, 0, a, b, c), // and so may this be
		reading(31, 40, 1, b, c),
		reading(31, 40, 3),
	}, map[string]entry{"a": a, "b": b, "c": c}))
}

func TestHistoryShowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	a, b := entry{"a", 1, 4}, entry{"b", 2, 7}
	book := map[string]entry{"a": a, "b": b}
	for name, test := range map[string]struct {
		operations []operation
		book       map[string]entry
		want       string
	}{
		"an old leader accepts after a new one": {
			[]operation{placing(0, 10, "a", 1, 7), placing(11, 20, "b", 2, 4)},
			map[string]entry{"a": {"a", 1, 7}, "b": {"b", 2, 4}},
			"terms overlap",
		},
		"an order comes before one that was accepted": {
			[]operation{placing(0, 10, "b", 2, 7), placing(11, 20, "a", 1, 4)}, book, "terms overlap",
		},
		"an order comes before one that was read": {
			[]operation{reading(0, 10, 0, a, b), placing(11, 20, "a", 1, 4)}, book, "terms overlap",
		},
		"a leader does not know what another accepted": {
			[]operation{placing(0, 10, "a", 1, 4), placing(0, 10, "b", 2, 7), reading(11, 20, 0, a)}, book, "stale",
		},
		"a leader does not know what another has shown": {
			[]operation{reading(0, 10, 0, a, b), reading(11, 20, 0, a)}, book, "stale",
		},
		"two orders have one place": {
			[]operation{placing(0, 10, "a", 1, 4), placing(0, 10, "b", 1, 7)}, book, "one place",
		},
		"an order is gone": {
			[]operation{placing(0, 10, "a", 1, 4)}, map[string]entry{"b": b}, "lost",
		},
		"an order has another term in the book": {
			[]operation{placing(0, 10, "a", 1, 4)}, map[string]entry{"a": {"a", 1, 7}}, "lost",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := violations(test.operations, test.book)
			require.NotEmpty(t, wrong)
			require.Contains(t, wrong[0], test.want)
		})
	}
}
