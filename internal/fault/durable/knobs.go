//go:build linux

package durable

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Knobs are figures of the command line that replace those of the scenarios. With nil
// a scenario keeps its own figure.
type Knobs struct {
	items, replicas, restarts, hung, procs *int
	ackWait, kill                          *time.Duration
}

// Flags adds the knobs to the flags of the command line.
func (k *Knobs) Flags(set *flag.FlagSet) {
	number := func(to **int, name string, least, most int, usage string) {
		set.Func(name, usage+" (durable work)", func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < least || n > most {
				return fmt.Errorf("use a number from %d to %d", least, most)
			}
			*to = &n
			return nil
		})
	}
	duration := func(to **time.Duration, name string, least, most time.Duration, usage string) {
		set.Func(name, usage+" (durable work)", func(text string) error {
			d, err := time.ParseDuration(text)
			if err != nil || d < least || d > most {
				return fmt.Errorf("use a duration from %v to %v", least, most)
			}
			*to = &d
			return nil
		})
	}
	number(&k.items, "items", 100, 10_000_000, "the `number` of commands or events that are sent")
	number(&k.replicas, "replicas", 1, 3, "the NATS `servers` that each stream is on, 1 or 3")
	number(&k.restarts, "restarts", 0, 1000, "how many `times` a NATS server is killed, every second time stopped, and started again")
	number(&k.hung, "hung", 0, 1000, "how many `times` the NATS servers that do not lead the stream are stopped for 4 s, or the only one there is")
	number(&k.procs, "gomaxprocs", 1, 1024, "GOMAXPROCS of all `processes`")
	duration(&k.ackWait, "ackwait", time.Second, time.Hour, "the ack wait, a `duration`")
	duration(&k.kill, "killevery", 50*time.Millisecond, 24*time.Hour, "the `duration` between two kills of workers")
}

// given tells whether there are any.
func (k *Knobs) given() bool { return *k != Knobs{} }

// Check refuses knobs without any effect. The scenarios that are to run are asked,
// and names is the text with which the user asked for them.
func (k *Knobs) Check(asked []Scenario, names string) error {
	if k.replicas != nil && *k.replicas == 2 {
		return errors.New("-replicas 2: use 1 or 3, two of two are lost with one server")
	}
	if !k.given() {
		return nil
	}
	if len(asked) == 0 {
		return fmt.Errorf("-items, -replicas, -restarts, -hung, -gomaxprocs, -ackwait and -killevery are of durable work, "+
			"and there is none in -scenario %s", names)
	}
	for _, d := range asked {
		if k.replicas != nil && !d.fits(*k.replicas) {
			return fmt.Errorf("-replicas %d: scenario %s needs %v", *k.replicas, d.Name, d.only)
		}
	}
	return nil
}

// Fitting returns the scenarios that go with the number of replicas that the user
// wants.
func (k *Knobs) Fitting(all []Scenario) []Scenario {
	return slices.DeleteFunc(all, func(d Scenario) bool { return k.replicas != nil && !d.fits(*k.replicas) })
}

// fits tells whether a scenario makes sense with so many replicas.
func (d *Scenario) fits(replicas int) bool { return d.only == nil || slices.Contains(d.only, replicas) }

// sizes returns the size of each run of a scenario, with the knobs applied.
func (k *Knobs) sizes(d *Scenario) (all []size) {
	replicas := d.replicas
	if k.replicas != nil {
		replicas = []int{*k.replicas}
	}
	for _, n := range replicas {
		size := d.size(n)
		size.replicas = n
		change(&size.count, k.items)
		change(&size.restarts, k.restarts)
		change(&size.hung, k.hung)
		change(&size.procs, k.procs)
		change(&size.ackWait, k.ackWait)
		change(&size.kill, k.kill)
		all = append(all, size)
	}
	return all
}

func change[T any](value, wanted *T) {
	if wanted != nil {
		*value = *wanted
	}
}
