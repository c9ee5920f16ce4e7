//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/internal/fault/calls"
	"github.com/aegisrpc/aegis/internal/fault/cost"
	"github.com/aegisrpc/aegis/internal/fault/durable"
	"github.com/aegisrpc/aegis/internal/fault/streams"
)

// listing is a line of -list.
type listing struct{ name, what string }

// choice is the set of scenarios that are to run. Calls run first, then durable work,
// costs and streams; within a kind the order is that in which the user named the
// scenarios.
type choice struct {
	calls   []calls.Scenario
	durable []durable.Scenario
	cost    bool
	streams bool

	listed []listing // what -list shows: all that could be named, but for other calls
}

// all returns every scenario that the user can name.
func (o *options) all() (all []listing) {
	for _, s := range calls.Scenarios(o.short) {
		all = append(all, listing{s.Name, s.What})
	}
	return append(all, o.besides()...)
}

// besides returns every scenario that the user can name, except for those of calls.
func (o *options) besides() (all []listing) {
	for _, s := range durable.Scenarios(o.short) {
		all = append(all, listing{s.Name, s.What})
	}
	return append(all,
		listing{cost.Name, "what standing by costs"},
		listing{streams.Name, "faults between the two ends of streams"})
}

// choose returns the scenarios that the user asked for. If the user named none, it
// returns all of them, without the costs in the short form.
func (o *options) choose() (*choice, error) {
	c := &choice{}
	if o.scenario == "" {
		c.calls = calls.Scenarios(o.short)
		c.durable = o.knobs.Fitting(durable.Scenarios(o.short))
		c.cost, c.streams = !o.short, true
	}
	for name := range strings.SplitSeq(o.scenario, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		ofCalls := named(calls.Scenarios(o.short), func(s calls.Scenario) bool { return s.Name == name })
		ofDurable := named(durable.Scenarios(o.short), func(s durable.Scenario) bool { return s.Name == name })
		c.calls, c.durable = append(c.calls, ofCalls...), append(c.durable, ofDurable...)
		switch {
		case name == cost.Name:
			c.cost = true
		case name == streams.Name:
			c.streams = true
		case ofCalls == nil && ofDurable == nil:
			return nil, fmt.Errorf("there is no scenario %q, or no short form of it; -list shows them", name)
		}
	}
	for _, s := range c.calls {
		c.listed = append(c.listed, listing{s.Name, s.What})
	}
	c.listed = append(c.listed, o.besides()...)
	return c, o.knobs.Check(c.durable, o.scenario)
}

// named returns the scenario that has a name, alone in a slice, or nil.
func named[S any](all []S, has func(S) bool) []S {
	if i := slices.IndexFunc(all, has); i >= 0 {
		return all[i : i+1]
	}
	return nil
}
