package dev

import (
	"context"
	"errors"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// warning is the colour of what should be read.
const warning = cli.Yellow

// announcer tells which services are served, and how they are called.
type announcer struct {
	out *output
	// flags belong to each line that calls a service, such as " --server nats://...".
	flags string
	// guest is set if the servers stand in a cluster, of whose other instances nothing is told.
	guest *guest

	mu       sync.Mutex // guards what follows
	services map[protoreflect.FullName]*spec.Service
	shown    map[role]string // the lines that were shown last
}

// role is what an instance is to a service: one that serves it, or one that handles its events.
// A process may be both.
type role struct {
	service    string
	subscriber bool
}

// know takes the services of the project from its descriptors.
func (a *announcer) know(files []protoreflect.FileDescriptor) {
	services := make(map[protoreflect.FullName]*spec.Service)
	for _, f := range files {
		for i := range f.Services().Len() {
			// The generator has refused wrong options before.
			if s, err := spec.FromDescriptor(f.Services().Get(i)); err == nil {
				services[s.Desc.FullName()] = s
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.services = services
}

// watch tells of each service when its first instance serves, until ctx ends.
func (a *announcer) watch(ctx context.Context, conn *aegis.Conn) {
	serving := make(map[role]map[string]bool) // the processes in each role
	for change, err := range conn.WatchInstances(ctx, aegis.AllServices) {
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, aegis.ErrConnClosed) {
				a.out.sayf(warning, "which services are served cannot be seen any more: %v", err)
			}
			return
		}
		if a.guest == nil || a.guest.is(&change.Instance) {
			a.see(serving, change)
		}
	}
}

// see takes a change of an instance in, and tells of its service if it is the first one.
func (a *announcer) see(serving map[role]map[string]bool, change aegis.InstanceChange) {
	i := change.Instance
	as := role{i.Service, i.Subscriber}
	if change.Kind == aegis.InstanceLeft || change.Kind == aegis.InstanceExpired || i.State != aegis.StateRunning {
		delete(serving[as], i.Process)
		return
	}
	if serving[as] == nil {
		serving[as] = make(map[string]bool)
	}
	first := len(serving[as]) == 0
	if serving[as][i.Process] = true; first {
		a.begins(i)
	}
}

// begins tells that a service is served, with a line for each of its methods unless they
// were shown before. The methods that subscribers handle are events, those of servers all
// others.
func (a *announcer) begins(i aegis.Instance) {
	name, as := i.Service, role{i.Service, i.Subscriber}
	does, then := name+" is served", "call it"
	switch {
	case i.Subscriber && i.Reserved:
		return // no event reaches it
	case i.Subscriber:
		does, then = "the events of "+name+" have a subscriber", "publish one"
	case i.Reserved:
		does = name + " is served to calls that choose it"
	}
	lines := a.invocations(name, i.Subscriber)
	text := strings.Join(lines, "\n")
	a.mu.Lock()
	known := a.shown[as] == text
	a.shown[as] = text
	a.mu.Unlock()
	if known || len(lines) == 0 {
		a.out.sayf(cli.Green, "%s", does)
		return
	}
	a.out.sayf(cli.Green, "%s; %s from another terminal:", does, then)
	a.out.sayf(cli.Plain, "%s", text)
}

// invocations are the commands that use the methods of a service of the project.
func (a *announcer) invocations(service string, events bool) []string {
	a.mu.Lock()
	s := a.services[protoreflect.FullName(service)]
	a.mu.Unlock()
	if s == nil {
		return nil
	}
	var lines []string
	for _, m := range s.Methods {
		if (m.Pattern == spec.Event) == events && (a.guest == nil || a.guest.gets(m.Pattern)) {
			lines = append(lines, "  "+methods.Invocation(m.Desc, m.Pattern, a.flagsFor(m.Pattern)))
		}
	}
	return lines
}

// flagsFor are the flags of a line that uses a method of a pattern.
func (a *announcer) flagsFor(p spec.Pattern) string {
	if a.guest != nil && p == spec.LoadBalanced {
		return a.flags + a.guest.where()
	}
	return a.flags
}
