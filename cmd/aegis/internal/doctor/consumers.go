package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

func checkConsumers() Check {
	return Check{
		Name: "consumers", Looks: "the consumers of events and commands: whether the runtime can use them, and whether each partition has one",
		Reads: "`$JS.API.CONSUMER.LIST` of the streams of events and commands",
		IDs:   words("ready unusable differs partition foreign unread"),
		run: func(ctx context.Context, l *look) []Finding {
			consumers, err := l.consumers(ctx)
			if err != nil {
				return []Finding{unread("consumers.unread", "", "the consumers", err)}
			}
			return judgeConsumers(l.subjects, consumers)
		},
	}
}

// role is what the name of a consumer says of it.
type consumerRole struct {
	whose     string // of events: the name without method and partition, such as g-mail
	method    string
	level     string // of commands
	epoch     int    // of an event with a key
	partition int    // of an event with a key; -1 for all others
	filter    string // what it has to take
	keyed     bool
}

// roleOf reads the name of a consumer; false for one that the runtime does not name so.
func roleOf(subjects wire.Subjects, c *consumer) (consumerRole, bool) {
	name, service := c.Name, c.of.service
	if c.of.kind == kindCommands {
		parts := strings.Split(name, "-")
		if len(parts) != 3 || parts[0] != "w" || !slices.Contains(wire.Levels(), parts[2]) {
			return consumerRole{}, false
		}
		return consumerRole{method: parts[1], level: parts[2], partition: -1, filter: subjects.CommandsOf(service, parts[1], parts[2])}, true
	}
	if !strings.HasPrefix(name, "g-") && !strings.HasPrefix(name, "i-") {
		return consumerRole{}, false
	}
	r := consumerRole{partition: -1}
	whose, last := cutLast(name)
	if epoch, p, ok := wire.ParseEpochPartition(last); ok {
		r.epoch, r.partition, r.keyed = epoch, p, true
		whose, last = cutLast(whose)
	}
	r.whose, r.method = whose, last
	if r.whose == "" || r.whose == "g" || r.whose == "i" {
		return consumerRole{}, false
	}
	r.filter = subjects.LogAll(service, r.method)
	if r.keyed {
		r.filter = subjects.LogIn(service, r.method, r.epoch, r.partition)
	}
	return r, true
}

// cutLast cuts a name at its last dash.
func cutLast(name string) (before, after string) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return "", name
	}
	return name[:i], name[i+1:]
}

// filters returns the subjects that a consumer takes of its stream.
func filters(c *jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

func judgeConsumers(subjects wire.Subjects, consumers []*consumer) []Finding {
	var found []Finding
	fine := 0
	for _, c := range consumers {
		about := judgeConsumer(subjects, c)
		if len(about) == 0 {
			fine++
		}
		found = append(found, about...)
	}
	found = append(found, missingPartitions(subjects, consumers)...)
	if fine > 0 {
		found = append(found, ok("consumers.ready", "", "%s as they should be", count(uint64(fine), "consumer", "consumers")))
	}
	return found
}

// judgeConsumer compares a consumer with the one that the runtime would make.
func judgeConsumer(subjects wire.Subjects, c *consumer) []Finding {
	subject := c.Stream + " " + c.Name
	role, known := roleOf(subjects, c)
	if !known {
		if c.of.kind == kindCommands {
			return []Finding{warning("consumers.foreign", subject,
				"no worker has a consumer of this name: it takes commands away from the workers, or keeps them from making their own").
				so("find out whose it is, then nats consumer rm %s %s", c.Stream, c.Name)}
		}
		return []Finding{info("consumers.foreign", subject, "no subscriber of Aegis has a consumer of this name; it reads the events beside them")}
	}
	bad := func(remedy, format string, args ...any) []Finding {
		return []Finding{failure("consumers.unusable", subject, "the runtime refuses it: "+format, args...).so("%s", remedy)}
	}
	edit := fmt.Sprintf("nats consumer edit %s %s ", c.Stream, c.Name)
	anew := fmt.Sprintf("let it be handled to its end, then remove it (nats consumer rm %s %s): it is made anew; "+
		"aegis.StartFrom(aegis.StartSequence(%d)) goes on where it is now", c.Stream, c.Name, c.AckFloor.Stream+1)
	cfg := &c.Config
	switch have := filters(cfg); {
	case !slices.Equal(have, []string{role.filter}):
		return bad(edit+"--filter "+role.filter, "its filter is %v, and %s is needed", have, role.filter)
	case cfg.AckPolicy != jetstream.AckExplicitPolicy:
		return bad(anew, "its ack_policy is %v, and explicit is needed", cfg.AckPolicy)
	case cfg.MaxDeliver > 0:
		return bad(edit+"--max-deliver=-1", "its max_deliver is %d, and -1 is needed: NATS would give messages up that have no dead letter", cfg.MaxDeliver)
	case cfg.PriorityPolicy != jetstream.PriorityPolicyNone:
		return bad(anew, "it has priority groups, and must have none")
	case role.keyed && cfg.MaxAckPending != 1:
		return bad(edit+"--max-pending=1", "its max_ack_pending is %d, and 1 is needed: the events of a key would lose their order", cfg.MaxAckPending)
	case !role.keyed && c.of.kind == kindEvents && cfg.MaxAckPending == 1:
		return bad(edit+"--max-pending=10000", "its max_ack_pending is 1, although its events have no key")
	case !role.keyed && cfg.MaxAckPending > 1 && cfg.MaxAckPending < neededAckPending:
		return []Finding{info("consumers.differs", subject, "it may have %d messages under way, and not %d", cfg.MaxAckPending, neededAckPending).
			so("%s--max-pending=%d, if the account and the stream allow it", edit, neededAckPending)}
	}
	return nil
}

// partitioned is the consumers of a group, or of an instance, for one event with a key.
type partitioned struct{ stream, whose, method string }

// missingPartitions finds the partitions of events that no consumer takes, although other
// partitions of the same group have one. Only those of the epoch in which the group is are
// compared: the consumers of former ones are removed when the group has done with them.
func missingPartitions(subjects wire.Subjects, consumers []*consumer) []Finding {
	have := make(map[partitioned]map[int]bool)
	epochs, counts := make(map[partitioned]int), make(map[partitioned]int)
	var order []partitioned
	for _, c := range consumers {
		role, known := roleOf(subjects, c)
		if !known || !role.keyed {
			continue
		}
		g := partitioned{c.Stream, role.whose, role.method}
		switch {
		case have[g] == nil:
			order = append(order, g)
		case role.epoch < epochs[g]:
			continue
		}
		if have[g] == nil || role.epoch > epochs[g] {
			have[g], epochs[g] = make(map[int]bool), role.epoch
		}
		have[g][role.partition] = true
		if numbers, _, _ := wire.Epochs(c.of.Config.Metadata, role.method); role.epoch < len(numbers) {
			counts[g] = numbers[role.epoch]
		}
	}
	var found []Finding
	for _, g := range order {
		found = append(found, g.judge(epochs[g], counts[g], have[g])...)
	}
	return found
}

// judge compares the partitions that have a consumer with those that there are in an epoch.
func (g partitioned) judge(epoch, count int, have map[int]bool) []Finding {
	var found []Finding
	var missing, beyond []string
	for p := range count {
		if !have[p] {
			missing = append(missing, strconv.Itoa(p))
		}
	}
	for p := range have {
		if p >= count {
			beyond = append(beyond, strconv.Itoa(p))
		}
	}
	subject := g.stream + " " + g.whose + "-" + g.method
	if len(missing) > 0 {
		found = append(found, failure("consumers.partition", subject, "%s has %d partitions, and nobody takes the events of partition %s",
			g.method, count, some(missing)).
			so("start the subscribers again, which make the missing consumers; if they may not, see aegis doctor --role subscriber"))
	}
	if len(beyond) > 0 && count > 0 {
		slices.Sort(beyond)
		p, _ := strconv.Atoi(beyond[0])
		found = append(found, warning("consumers.partition", subject+" beyond",
			"%s has %d partitions, and there is a consumer of partition %s, which gets nothing",
			g.method, count, some(beyond)).so("nats consumer rm %s %s", g.stream, wire.EpochConsumer(g.whose+"-"+g.method, epoch, p)))
	}
	return found
}
