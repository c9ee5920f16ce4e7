//go:build linux

package durable

import (
	"flag"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// parse reads a command line as the harness does.
func parse(args ...string) (asked []Scenario, k *Knobs, err error) {
	k = &Knobs{}
	set := flag.NewFlagSet("fault", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	names := set.String("scenario", "", "")
	short := set.Bool("short", false, "")
	k.Flags(set)
	if err := set.Parse(args); err != nil {
		return nil, nil, err
	}
	all := Scenarios(*short)
	if *names == "" {
		asked = k.Fitting(all)
		return asked, k, k.Check(asked, "")
	}
	for name := range strings.SplitSeq(*names, ",") {
		for _, s := range all {
			if s.Name == strings.TrimSpace(name) {
				asked = append(asked, s)
			}
		}
	}
	return asked, k, k.Check(asked, *names)
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
		if _, _, err := parse(args...); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestKnobsTakeThePlaceOfWhatScenariosHave(t *testing.T) {
	t.Parallel()
	asked, k, err := parse("-scenario", "hung, events", "-items", "5000", "-replicas", "3", "-restarts", "0", "-hung", "7",
		"-gomaxprocs", "1", "-ackwait", "1s", "-killevery", "500ms")
	if err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || asked[0].Name != "hung" || asked[1].Name != "events" {
		t.Fatalf("asked: %v", asked)
	}
	for _, d := range asked {
		want := d.size(3)
		want.count, want.replicas, want.restarts, want.hung, want.procs = 5000, 3, 0, 7, 1
		want.ackWait, want.kill = time.Second, 500*time.Millisecond
		if got := k.sizes(&d); !reflect.DeepEqual(got, []size{want}) {
			t.Errorf("%s: %+v, not %+v", d.Name, got, want)
		}
	}
}

func TestScenariosThatDoNotGoWithTheReplicasAreLeftOut(t *testing.T) {
	t.Parallel()
	asked, _, err := parse("-replicas", "1")
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(asked, func(d Scenario) bool { return d.Name == name })
	}
	if has("quorum") || has("resultslost") || !has("commands") || !has("full-events") {
		t.Errorf("left: %v", asked)
	}
}

func TestEveryScenarioIsComplete(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, d := range scenarios() {
		attempts, ackWait, err := d.limits(0)
		if names[d.Name] || d.What == "" || err != nil || attempts == 0 || ackWait == 0 || len(d.replicas) == 0 {
			t.Errorf("scenario %q is not complete, or there are two", d.Name)
		}
		for _, n := range d.replicas {
			size := d.size(n)
			if !d.fits(n) || size.count == 0 || size.within == 0 || size.kill == 0 || (size.faults > 0) != (d.fault != nil) {
				t.Errorf("scenario %q is not complete at %d replicas", d.Name, n)
			}
		}
		names[d.Name] = true
	}
}

func TestTheAckWaitOfWorkersIsTheOneThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for _, d := range scenarios()[:2] {
		attempts, ackWait, err := d.limits(7 * time.Second)
		own, _, _ := d.limits(0)
		if err != nil || ackWait != 7*time.Second || attempts != own {
			t.Errorf("%s: %d attempts, ack wait %v, %v", d.Name, attempts, ackWait, err)
		}
	}
	if _, ackWait, _ := scenarios()[0].limits(0); ackWait != 2*time.Second {
		t.Errorf("the ack wait of the proto has become %v", ackWait)
	}
}
