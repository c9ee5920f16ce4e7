package wire

import (
	"strings"
	"testing"
)

// What is hashed on one side is looked for on the other, also by other versions.
func TestHashesStayTheSame(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int{"": 5, "ACME": 15, "key-1": 6, "ü": 10} {
		if got := Partition(KeyHash(key), 16); got != want {
			t.Errorf("the partition of %q is %d, not %d", key, got, want)
		}
	}
	if got, want := KeyedCommandID("Work", "eod"), "k.5AZ2WRAWM6MYFRPLCALZMBI2PE"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCommandIDsAreFoundInSubjects(t *testing.T) {
	t.Parallel()
	s := NewSubjects("ns")
	for _, id := range []string{"a.1", KeyedCommandID("M", "k"), strings.Repeat("x", 64) + ".z"} {
		if got, ok := ParseCommandID(s.Command("p.S", "M", LevelHigh, id), 0); !ok || got != id {
			t.Errorf("%s: %s, %v", id, got, ok)
		}
		if got, ok := ParseCommandID(s.Result("p.S", id, ResultStop), 1); !ok || got != id {
			t.Errorf("%s: %s, %v", id, got, ok)
		}
	}
	for _, subject := range []string{"", "a", "a.b-c", ".", "a..b", "x." + strings.Repeat("y", 65)} {
		if id, ok := ParseCommandID(subject, 0); ok {
			t.Errorf("%q has the id %s", subject, id)
		}
	}
	for _, id := range []string{"", "a", ".", "a.", ".b", "a.b.c", "a.*", "a.>", "a b.c", "ä.b"} {
		if ValidCommandID(id) {
			t.Errorf("%q is an id", id)
		}
	}
}

func TestConsumersHaveNamesOfTheirOwnThatAreShort(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for what, name := range map[string]string{
		"group a, M": GroupConsumer("a", "M"), "group a-M, M": GroupConsumer("a-M", "M"), "instance a, M": InstanceConsumer("a", "M"),
		"worker": WorkerConsumer("M", LevelHigh), "partition": EpochConsumer(GroupConsumer("a", "M"), 0, 1),
		"long 1": GroupConsumer(strings.Repeat("g", 64), strings.Repeat("M", 190)+"1"),
		"long 2": GroupConsumer(strings.Repeat("g", 64), strings.Repeat("M", 190)+"2"),
	} {
		if other, taken := seen[name]; taken {
			t.Errorf("%s and %s are both %s", what, other, name)
		}
		seen[name] = what
		if len(name) > maxConsumerName {
			t.Errorf("%s: %d characters", what, len(name))
		}
	}
}

func TestSubjectsOfEventsAndCommands(t *testing.T) {
	t.Parallel()
	s := NewSubjects("ns")
	for got, want := range map[string]string{
		s.Event("p.S", "M"):                         "ns.evt.p.S.M",
		s.Log("p.S", "M", 3):                        "ns.log.p.S.M.3",
		s.LogAll("p.S", "M"):                        "ns.log.p.S.M.*",
		s.LogAll("p.S", ""):                         "ns.log.p.S.>",
		s.Members("p.S", "M", "g"):                  "ns.grp.p.S.M.g",
		s.Command("p.S", "M", LevelLow, "a.1"):      "ns.cmd.p.S.M.l.a.1",
		s.CommandAt("p.S", "M", LevelNormal, "a.1"): "ns.cmdat.p.S.M.n.a.1",
		s.CommandsOf("p.S", "M", LevelHigh):         "ns.cmd.p.S.M.h.*.*",
		s.Result("p.S", "a.1", ResultProgress):      "ns.res.p.S.a.1.progress",
		s.Told("p.S", "a.*", "*"):                   "ns.told.p.S.a.*.*",
		s.CommandAnywhere("p.S", "M", "k.X"):        "ns.*.p.S.M.*.k.X",
		s.Stops("p.S"):                              "ns.res.p.S.*.*.stop",
		s.Dead("p.S", "M", "7"):                     "ns.dead.p.S.M.7",
		EventStream("ns", "p.S"):                    "ns-events-p-S",
		CommandStream("ns", "p.S"):                  "ns-commands-p-S",
		ResultStream("ns", "p.S"):                   "ns-results-p-S",
		DeadStream("ns", "p.S"):                     "ns-dead-p-S",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for subject, valid := range map[string]bool{"a.b": true, "$JS.API": true, "": false, "a..b": false, "a.*": false, "a.>": false, "a b": false} {
		if ValidSubject(subject) != valid {
			t.Errorf("%q", subject)
		}
	}
}
