//go:build linux

package main

import (
	"flag"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"
)

// parse reads a command line as main does.
func parse(args ...string) (*options, error) {
	o := &options{}
	set := flag.NewFlagSet("fault", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.scenario, "scenario", "", "")
	set.BoolVar(&o.short, "short", false, "")
	o.knobs.flags(set)
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	return o, o.knobs.check(o)
}

func TestKnobsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-items", "0"},
		{"-items", "many"},
		{"-replicas", "0"},
		{"-replicas", "2"},
		{"-replicas", "5"},
		{"-restarts", "-1"},
		{"-hung", "x"},
		{"-gomaxprocs", "0"},
		{"-ackwait", "500ms"},
		{"-ackwait", "2"},
		{"-killevery", "0s"},
		{"-replicas", "1", "-scenario", "quorum"},
		{"-items", "1000", "-scenario", "kill,streams"},
		{"-items", "1000", "-scenario", "quorum", "-short"},
	} {
		if _, err := parse(args...); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestKnobsTakeThePlaceOfWhatScenariosHave(t *testing.T) {
	t.Parallel()
	o, err := parse("-scenario", "hung, events", "-items", "5000", "-replicas", "3", "-restarts", "0", "-hung", "7",
		"-gomaxprocs", "1", "-ackwait", "1s", "-killevery", "500ms")
	if err != nil {
		t.Fatal(err)
	}
	asked := o.durables()
	if len(asked) != 2 || asked[0].name != "hung" || asked[1].name != "events" {
		t.Fatalf("asked: %v", asked)
	}
	for _, d := range asked {
		want := d.size(3)
		want.count, want.replicas, want.restarts, want.hung, want.procs = 5000, 3, 0, 7, 1
		want.ackWait, want.kill = time.Second, 500*time.Millisecond
		if got := o.knobs.sizes(&d); !reflect.DeepEqual(got, []durableSize{want}) {
			t.Errorf("%s: %+v, not %+v", d.name, got, want)
		}
	}
}

func TestScenariosThatDoNotGoWithTheReplicasAreLeftOut(t *testing.T) {
	t.Parallel()
	o, err := parse("-replicas", "1")
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(o.durables(), func(d durable) bool { return d.name == name })
	}
	if has("quorum") || has("resultslost") || !has("commands") || !has("full-events") {
		t.Errorf("left: %v", o.durables())
	}
}

func TestTheAckWaitOfWorkersIsTheOneThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, d := range durables()[:2] {
		attempts, ackWait, err := d.limits(7 * time.Second)
		own, _, _ := d.limits(0)
		if err != nil || ackWait != 7*time.Second || attempts != own {
			t.Errorf("%s: %d attempts, ack wait %v, %v", d.name, attempts, ackWait, err)
		}
	}
	if _, ackWait, _ := durables()[0].limits(0); ackWait != 2*time.Second {
		t.Errorf("the ack wait of the proto has become %v", ackWait)
	}
}
