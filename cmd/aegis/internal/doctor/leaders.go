package doctor

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/registry"
)

func checkLeaders() Check {
	return Check{
		Name: "leaders", Looks: "the single active groups: whether each that has candidates has a leader, and whether its record can be read",
		Reads: "the buckets of leaders and of the registry",
		IDs:   words("ready none foreign alone gone unread"),
		run: func(ctx context.Context, l *look) []Finding {
			found := judgeLeadersOf(ctx, l)
			if !slices.ContainsFunc(found, func(f Finding) bool { return f.ID == "leaders.none" }) {
				return found
			}
			// A group has no leader while one follows another: so it is looked at again.
			select {
			case <-time.After(secondLook):
			case <-ctx.Done():
			}
			return judgeLeadersOf(ctx, newLook(l.Session, l.scope))
		},
	}
}

// secondLook is after which time a group without a leader is looked at again: more than a
// candidate waits for the usual lease of 2 s.
const secondLook = 3 * time.Second

func judgeLeadersOf(ctx context.Context, l *look) []Finding {
	bucket, err := l.leadersAt(ctx)
	if isCode(err, codeStreamNotFound) {
		return judgeLeaders(nil, candidatesOf(l.instances(ctx)))
	}
	if err != nil {
		return []Finding{unread("leaders.unread", "", "the records of leaders", err)}
	}
	entries, err := l.leaders(ctx)
	if err != nil {
		return []Finding{unread("leaders.unread", "", "the records of leaders", err)}
	}
	created := bucket.Created.UnixNano()
	var groups []leaderGroup
	for _, e := range entries {
		if g, current := leaderGroupOf(e, created, natsNow(bucket.TimeStamp)); current {
			groups = append(groups, g)
		}
	}
	instances, err := l.records(ctx)
	if err != nil {
		found := judgeLeaders(groups, nil)
		return append(found, unread("leaders.unread", "registry", "which instances stand for election", err))
	}
	return judgeLeaders(groups, candidatesOf(instancesOf(instances, l.registryNow(ctx))))
}

// leaderGroup is what the bucket of leaders says of a group.
type leaderGroup struct {
	service, group string
	key            string
	record         election.Record
	age            time.Duration // since it was written
	err            error         // why it cannot be read
}

// leaderGroupOf reads an entry; current is false for one that belongs to a bucket that was
// removed, and for a key that Aegis does not write.
func leaderGroupOf(e entry, created int64, now time.Time) (g leaderGroup, current bool) {
	tokens := strings.Split(e.key, ".")
	if len(tokens) < 3 || tokens[len(tokens)-1] != strconv.FormatInt(created, 10) {
		return g, false
	}
	n := len(tokens)
	g = leaderGroup{service: strings.Join(tokens[:n-2], "."), group: tokens[n-2], key: e.key, age: now.Sub(e.time)}
	g.record, g.err = election.DecodeRecord(e.data)
	return g, true
}

// leads reports whether the record names a leader whose lease has not run out.
func (g *leaderGroup) leads() bool {
	const margin = 8 // a lease is waited for 12 % longer
	lease := g.record.Lease + g.record.Lease/margin + time.Second
	return g.err == nil && !g.record.Released && g.record.ServerID != "" && g.age <= lease
}

// candidatesOf returns the instances that stand for election, by service and group. It is
// nil if no instance is known.
func candidatesOf(instances []instance) map[string][]string {
	candidates := make(map[string][]string)
	for _, i := range instances {
		if i.err != nil || !i.fresh || i.record.State != registry.Running {
			continue
		}
		for group := range groupsOf(i.record) {
			key := i.record.Service + "." + group
			candidates[key] = append(candidates[key], i.record.Instance)
		}
	}
	return candidates
}

// groupsOf returns the groups of which an instance has a method.
func groupsOf(r *registry.Record) map[string]bool {
	groups := make(map[string]bool)
	for method, pattern := range r.Patterns {
		name, group, named := strings.Cut(pattern, ":")
		if !named {
			group = "default"
		}
		if (name == "single_active" || name == "single_active_command") && r.Serves(method) {
			groups[group] = true
		}
	}
	return groups
}

// judgeLeaders compares the records of leaders with the candidates, which are nil where
// they are not known.
func judgeLeaders(groups []leaderGroup, candidates map[string][]string) []Finding {
	var found []Finding
	led := make(map[string]bool)
	var gone []string
	leading := 0
	for i := range groups {
		g := &groups[i]
		name := g.service + "." + g.group
		led[name] = g.err != nil || g.leads()
		switch {
		case g.err != nil:
			found = append(found, failure("leaders.foreign", name, "the record of the group cannot be read: %v; no candidate stands while it is there", g.err).
				so("find out who wrote it, then remove it: nats kv del BUCKET %s, BUCKET being that of the leaders", g.key))
		case g.leads():
			leading++
			if candidates != nil && len(candidates[name]) == 1 {
				found = append(found, info("leaders.alone", name, "%s leads, and no other instance stands by", g.record.Instance).so("start a second instance"))
			}
		case candidates != nil && len(candidates[name]) == 0:
			gone = append(gone, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(candidates)) {
		if !led[name] {
			found = append(found, failure("leaders.none", name, "%s, and nobody leads: calls to the group wait for their timeout",
				count(uint64(len(candidates[name])), "instance stands for election", "instances stand for election")).
				so("read the log of %s, and srv.Broken() or /readyz there; aegis doctor --role server --service ... shows missing permissions", some(candidates[name])))
		}
	}
	if len(gone) > 0 {
		found = append(found, info("leaders.gone", "", "%s whose service has no instance: %s; it does no harm",
			count(uint64(len(gone)), "record of a group", "records of groups"), some(gone)))
	}
	if leading > 0 {
		found = append(found, ok("leaders.ready", "", "%s a leader", count(uint64(leading), "group has", "groups have")))
	}
	return found
}
