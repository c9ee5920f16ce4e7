package doctor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/near"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// renewed is within which time a server writes its record again: 30 s and what a busy
	// machine takes.
	renewed = 40 * time.Second
	// aheadLeast is by how much a clock has to be ahead to be real: less may be the way to NATS.
	aheadLeast = 2 * time.Second
)

func checkRegistry() Check {
	return Check{
		Name: "registry", Looks: "the registered instances: values that are none, unhealthy and lost ones, versions, patterns, clocks and zones that differ",
		Reads: "the bucket of the registry, by a consumer that NATS forgets",
		IDs:   words("ready reserved empty foreign lost unhealthy hidden versions runtimes zones patterns clock unread"),
		run: func(ctx context.Context, l *look) []Finding {
			_, err := l.registry(ctx)
			if isCode(err, codeStreamNotFound) {
				return []Finding{info("registry.empty", "", "no instance is registered")}
			}
			if err != nil {
				return []Finding{unread("registry.unread", "", "the registry", err)}
			}
			entries, err := l.records(ctx)
			if err != nil {
				return []Finding{unread("registry.unread", "", "the registry", err)}
			}
			if len(entries) == 0 && l.scope.Service != "" {
				return []Finding{l.unknownService(ctx)}
			}
			return judgeRegistry(instancesOf(entries, l.registryNow(ctx)))
		},
	}
}

// unknownService returns the finding that the service of the scope has no instance, with
// the name that was probably meant.
func (l *look) unknownService(ctx context.Context) Finding {
	f := info("registry.empty", l.scope.Service, "no instance of %s is registered", l.scope.Service)
	everything := l.scope
	everything.Service = ""
	entries, err := newLook(l.Session, everything).records(ctx)
	if err != nil {
		return f
	}
	var names []string
	for _, e := range entries {
		if service, _, ok := wire.ParseRegistryKey(e.key); ok {
			names = append(names, service)
		}
	}
	if near := near.Name(l.scope.Service, names); near != "" {
		f.Text += "; did you mean " + near + "?"
	}
	return f
}

// instance is a value of the registry.
type instance struct {
	key    string
	record *registry.Record
	stored time.Time
	age    time.Duration // since it was stored
	fresh  bool          // it was written as lately as a running instance does
	err    error         // why it is no record
}

// instances returns the values of the registry, none if they cannot be read.
func (l *look) instances(ctx context.Context) []instance {
	entries, err := l.records(ctx)
	if err != nil {
		return nil
	}
	return instancesOf(entries, l.registryNow(ctx))
}

// registryNow returns the time of NATS when the registry was read.
func (l *look) registryNow(ctx context.Context) time.Time {
	bucket, err := l.registry(ctx)
	if err != nil {
		return time.Now()
	}
	return natsNow(bucket.TimeStamp)
}

func instancesOf(entries []entry, now time.Time) []instance {
	list := make([]instance, 0, len(entries))
	for _, e := range entries {
		i := instance{key: e.key, stored: e.time, age: now.Sub(e.time)}
		i.fresh = i.age <= renewed
		service, name, _ := wire.ParseRegistryKey(e.key)
		i.record, i.err = registry.Decode(service, name, e.data)
		list = append(list, i)
	}
	return list
}

// judgeRegistry judges the values of the registry.
func judgeRegistry(instances []instance) []Finding {
	if len(instances) == 0 {
		return []Finding{info("registry.empty", "", "no instance is registered")}
	}
	var found []Finding
	services := make(map[string][]*registry.Record)
	fresh, reserved := 0, 0
	for i := range instances {
		one := &instances[i]
		if one.err != nil {
			found = append(found, warning("registry.foreign", one.key, "%v; watchers skip it", one.err).
				so("find out who writes it, and remove it: nats kv del BUCKET %s, BUCKET being that of the registry; or update what reads it if it is newer", one.key))
			continue
		}
		found = append(found, judgeInstance(one)...)
		switch {
		case one.fresh && one.record.Reserved:
			reserved++
		case one.fresh:
			fresh++
			services[one.record.Service] = append(services[one.record.Service], one.record)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		found = append(found, judgeService(name, services[name])...)
	}
	if fresh > 0 {
		found = append(found, ok("registry.ready", "", "%s of %s registered",
			count(uint64(fresh), "instance", "instances"), count(uint64(len(services)), "service", "services")))
	}
	if reserved > 0 {
		found = append(found, info("registry.reserved", "", "%s reserved: calls that choose none do not reach them",
			count(uint64(reserved), "more instance is", "more instances are")))
	}
	return found
}

// judgeInstance judges one record.
func judgeInstance(i *instance) []Finding {
	r := i.record
	var found []Finding
	if !i.fresh {
		return []Finding{info("registry.lost", i.key,
			"its record was not renewed for %s: the process was lost, or cannot write; NATS removes the record after 5 minutes",
			shortDuration(i.age)).so("see whether the process runs: aegis ls %s", r.Service)}
	}
	if r.Unhealthy && !r.Reserved {
		found = append(found, warning("registry.unhealthy", i.key,
			"a check of the instance fails: selection strategies do not pick it, the queue group does").
			so("aegis ls %s, and /readyz of the instance, name the check", r.Service))
	}
	if r.NoRespondersHidden {
		found = append(found, warning("registry.hidden", i.key, "NATS does not tell the instance when nobody listens").
			so("aegis doctor --check void names the cause, if it is on this side of NATS too"))
	}
	if ahead := r.Started.Sub(i.stored); ahead > aheadLeast {
		found = append(found, warning("registry.clock", i.key,
			"its clock is at least %s ahead of that of NATS: it has started after its record was stored; "+
				"terms and incarnations come from clocks", shortDuration(ahead)).so("synchronise the clock of its machine (NTP)"))
	}
	return found
}

// judgeService compares the instances of a service with each other.
func judgeService(name string, records []*registry.Record) []Finding {
	var found []Finding
	versions := make(map[string]bool)
	var older, newer, placed, adrift []string
	for _, r := range records {
		versions[r.Version] = true
		if r.Zone != "" {
			placed = append(placed, r.Instance)
		} else {
			adrift = append(adrift, r.Instance)
		}
		if r.Patterns == nil {
			older = append(older, r.Instance)
		} else {
			newer = append(newer, r.Instance)
		}
	}
	if len(versions) > 1 {
		found = append(found, info("registry.versions", name,
			"instances of the versions %s run beside each other", strings.Join(slices.Sorted(maps.Keys(versions)), ", ")).
			so("finish the update, unless it is under way"))
	}
	if len(older) > 0 && len(newer) > 0 {
		found = append(found, warning("registry.runtimes", name, "two versions of the runtime run beside each other: %s does not say its patterns, %s does",
			some(older), some(newer)).so("generate and build all instances with the same version of Aegis"))
	}
	if len(placed) > 0 && len(adrift) > 0 {
		found = append(found, info("registry.zones", name,
			"some instances say their zone, and others do not: %s; calls that prefer a zone treat these as of another one", some(adrift)).
			so("set AEGIS_ZONE for all of them, or for none"))
	}
	return append(found, judgeServicePatterns(name, records)...)
}

// judgeServicePatterns finds methods that two instances know under different patterns.
func judgeServicePatterns(name string, records []*registry.Record) []Finding {
	type known struct{ pattern, instance string }
	first := make(map[string]known)
	told := make(map[string]bool)
	var found []Finding
	for _, r := range records {
		methods := slices.Concat(slices.Collect(maps.Keys(r.Patterns)), r.Methods)
		slices.Sort(methods)
		for _, method := range slices.Compact(methods) {
			pattern, says := r.Pattern(method)
			if !says {
				continue
			}
			other, seen := first[method]
			if !seen {
				first[method] = known{pattern, r.Instance}
				continue
			}
			if other.pattern != pattern && !told[method] {
				told[method] = true
				found = append(found, failure("registry.patterns", name+"."+method,
					"%s is %s at %s, and %s at %s: what one side sends may not reach the other, and nobody is told",
					method, other.pattern, other.instance, pattern, r.Instance).so("generate and deploy all of them from one proto"))
			}
		}
	}
	return found
}
