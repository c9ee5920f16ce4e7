package doctor

import (
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/near"
	"github.com/aegisrpc/aegis/internal/wire"
)

// part is a group of subjects that a role needs for one purpose. The subjects are spelled
// as in the tables of docs/protocol.md and docs/registry.md, which a test compares with
// them; see expander. A subject to subscribe to may be followed by a queue group.
type part struct {
	name string // the purpose, for people
	// optional: only some programs in the role need it. What is refused of it is a warning.
	optional           bool
	publish, subscribe []string
}

// role is what a program does with a service.
type role struct {
	name, title string
	parts       []part
	// replies: it answers requests, for which it publishes to whatever subject they name.
	replies bool
	// service: the role is about one service.
	service bool
}

// Subjects that several parts have.
const (
	inboxes     = "<inbox prefix>.>"
	probes      = "ns.*._void.*"
	alive       = "ns.live.*"
	members     = "ns.grp.S.>"
	eventsInfo  = "J.STREAM.INFO.E"
	resultsInfo = "J.STREAM.INFO.R"
	resultsGet  = "J.STREAM.MSG.GET.R"
)

func partReplies() part {
	return part{name: "answers from NATS and others", subscribe: []string{inboxes}}
}

// partProbing is what a connection needs to find out whether NATS says that nobody
// listens; without it there is a line in its log.
func partProbing() part {
	return part{name: "probes of the void", optional: true, publish: []string{probes}}
}

// partDescribing is what those who store messages need to keep descriptors beside them.
func partDescribing(streams ...string) part {
	p := part{
		name: "descriptors beside stored data", optional: true,
		publish: []string{"J.STREAM.INFO.KV_ns-descriptors", "$KV.ns-descriptors.*", "J.STREAM.CREATE.KV_ns-descriptors", "J.INFO"},
	}
	for _, stream := range streams {
		p.publish = append(p.publish, "J.STREAM.UPDATE."+stream)
	}
	return p
}

func partComparing() part {
	return part{name: "comparing the patterns of methods", optional: true, publish: []string{"$JS.API.STREAM.MSG.GET.KV_ns-registry"}}
}

func partClient() part {
	return part{
		name: "calls", publish: []string{"ns.call.S.>", "ns.cancel.S", probes},
		subscribe: []string{inboxes},
	}
}

func clientParts() []part {
	return []part{
		partClient(),
		{name: "calls without generated code", optional: true, publish: []string{"ns.desc.S.*"}},
		{name: "directed calls", optional: true, publish: []string{"ns.inst.*.S.>"}},
		{name: "streams", optional: true, publish: []string{"ns.in.*.*"}},
		{name: "broadcasts", optional: true, publish: []string{"ns.all.S.>", "ns.inst.*.S.-"}},
		{name: "single active methods", optional: true, publish: []string{"ns.who.S.*", "ns.lead.S.>"}, subscribe: []string{"ns.led.S.*"}},
		{
			name: "discovery", optional: true,
			publish:   []string{"$JS.API.STREAM.INFO.KV_ns-registry", "$JS.API.CONSUMER.CREATE.KV_ns-registry.>", "$JS.FC.KV_ns-registry.>"},
			subscribe: []string{"ns.beat.S.*"},
		},
		partComparing(),
	}
}

func partServer() part {
	return part{
		name:      "serving calls",
		publish:   []string{alive, "<inbox prefix>.*.live", probes},
		subscribe: []string{"ns.call.S.* aegis", "ns.desc.S.* aegis", "ns.inst.*.S.*", "ns.all.S.*", "ns.in.*.*", "ns.cancel.S", alive, inboxes},
	}
}

// partLiving has what every server needs of the row of servers, also one that has only
// subscriptions.
func partLiving() part {
	return part{name: "telling that it lives", publish: []string{alive}, subscribe: []string{alive, "ns.inst.*.S._events.*"}}
}

// partRegistering has the subjects of docs/registry.md for a server, or for a subscriber if
// S is S._events.
func partRegistering(s string) part {
	return part{
		name: "registration and discovery",
		publish: []string{
			"ns.beat." + s + ".I", alive, "$KV.ns-registry." + s + ".I", "$JS.API.STREAM.INFO.KV_ns-registry",
			"$JS.API.STREAM.MSG.GET.KV_ns-registry", "$JS.API.STREAM.CREATE.KV_ns-registry", "ns.inst.I." + s + ".-",
		},
		subscribe: []string{"ns.beat." + s + ".I", "$SRV.>"},
	}
}

// partStanding has the subjects of single active groups. The operations are those that
// candidates use of the JetStream API of the bucket of leaders.
func partStanding() part {
	return part{
		name: "single active methods", optional: true,
		publish: []string{
			"ns.live.>", "ns.led.S.*", "$KV.ns-leaders.>", "J.STREAM.INFO.KV_ns-leaders", "J.STREAM.CREATE.KV_ns-leaders",
			"J.STREAM.MSG.GET.KV_ns-leaders", "J.CONSUMER.CREATE.KV_ns-leaders.>", "J.CONSUMER.INFO.KV_ns-leaders.>",
			"J.CONSUMER.MSG.NEXT.KV_ns-leaders.>", "J.CONSUMER.DELETE.KV_ns-leaders.>",
		},
		subscribe: []string{"ns.lead.S.>", "ns.who.S.*", "ns.live.*.>"},
	}
}

// partHandingOver has the subjects on which a leader is asked to hand over.
func partHandingOver() part {
	return part{
		name: "leaders that hand over when asked", optional: true,
		publish: []string{"ns.ask.S.*.all"}, subscribe: []string{"ns.ask.S.>"},
	}
}

// partAsking has the subjects of a program that looks at leaders and has them hand over.
func partAsking() part {
	return part{
		name: "leaders, and handing leaderships over", optional: true,
		publish: []string{"ns.ask.S.*.all", "J.STREAM.MSG.GET.KV_ns-leaders", "ns.ask.S.*.leader"},
	}
}

func serverParts() []part {
	return []part{partServer(), partRegistering("S"), partStanding(), partHandingOver()}
}

// storedParts have the subjects of a subscriber to durable events, E being their stream.
func storedParts() []part {
	return []part{
		{
			name: "durable events", optional: true,
			publish: []string{
				eventsInfo, "J.STREAM.CREATE.E", "J.CONSUMER.INFO.E.>", "J.CONSUMER.CREATE.E.>", "J.CONSUMER.MSG.NEXT.E.>",
				"$JS.ACK.E.>", "$JS.ACK.*.*.E.>", "J.STREAM.INFO.D", "J.STREAM.CREATE.D", "ns.dead.S.>", members,
				"J.STREAM.INFO.A", "J.STREAM.CREATE.A", "J.STREAM.MSG.GET.A", "J.STREAM.PURGE.A", "ns.try.S.>", "J.CONSUMER.DELETE.E.>",
			},
			subscribe: []string{members},
		},
	}
}

func subscriberParts() []part {
	return append([]part{
		{name: "core events", optional: true, subscribe: []string{"ns.evt.S.*"}},
		{name: "calls without generated code", optional: true, subscribe: []string{"ns.desc.S.* aegis"}},
	}, storedParts()...)
}

// workerParts have what a worker needs beside a server: as a subscriber, with C for E and
// without A, and the results.
func workerParts() []part {
	work := part{name: commands}
	for _, p := range storedParts() {
		for _, subject := range p.publish {
			if !strings.HasSuffix(subject, ".A") && subject != "ns.try.S.>" && subject != members {
				work.publish = append(work.publish, ofCommands(subject))
			}
		}
	}
	return []part{work, partResults()}
}

// ofCommands returns a subject of the stream of events for that of commands.
func ofCommands(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if token == "E" {
			tokens[i] = "C"
		}
	}
	return strings.Join(tokens, ".")
}

func partResults() part {
	return part{
		name:      "the results of commands",
		publish:   []string{resultsInfo, "J.STREAM.CREATE.R", resultsGet, "ns.res.S.>", "ns.told.S.>"},
		subscribe: []string{"ns.told.S.*.*.stop"},
	}
}

func publisherParts() []part {
	return []part{
		{name: "core events", optional: true, publish: []string{"ns.evt.S.*"}, subscribe: []string{inboxes}},
		{name: "durable events", optional: true, publish: []string{"ns.log.S.>", eventsInfo, "J.STREAM.CREATE.E"}},
	}
}

func senderParts() []part {
	return []part{
		{
			name: commands,
			publish: []string{
				"ns.cmd.S.>", "ns.cmdat.S.>", "J.STREAM.INFO.C", "J.STREAM.CREATE.C", "J.STREAM.MSG.GET.C", resultsInfo, resultsGet,
			},
			subscribe: []string{"ns.told.S.>"},
		},
		{
			name: "canceling commands", optional: true,
			publish: []string{
				"ns.res.S.*.*.stop", "ns.told.S.*.*.stop", "J.STREAM.CREATE.R", "J.STREAM.PURGE.C", "ns.res.S.*.*.result", "ns.told.S.*.*.result",
			},
		},
	}
}

func letterParts() []part {
	return []part{
		{
			name:    "dead letters",
			publish: []string{"J.STREAM.INFO.D", "J.STREAM.MSG.GET.D", "J.DIRECT.GET.D", "J.DIRECT.GET.D.>", "J.STREAM.MSG.DELETE.D"},
		},
		{
			name: "putting dead letters back", optional: true,
			publish: []string{
				"ns.log.S.>", eventsInfo, "ns.cmd.S.>", "J.STREAM.INFO.C", "J.STREAM.MSG.GET.C", resultsInfo, resultsGet,
				"J.STREAM.MSG.DELETE.R", "J.STREAM.PURGE.R",
			},
		},
	}
}

// monitorParts have what aegis ls, watch, doctor and monitor read; docs/doctor.md lists them.
func monitorParts() []part {
	return []part{
		{
			name: "instances", publish: []string{
				"$SRV.>", "J.STREAM.INFO.KV_ns-registry", "J.CONSUMER.CREATE.KV_ns-registry.>", "J.CONSUMER.DELETE.KV_ns-registry.>", "$JS.FC.KV_ns-registry.>",
			},
			subscribe: []string{"ns.beat.>", inboxes},
		},
		{
			name: "leaders", publish: []string{
				"J.STREAM.INFO.KV_ns-leaders", "J.CONSUMER.CREATE.KV_ns-leaders.>", "J.CONSUMER.DELETE.KV_ns-leaders.>",
			},
		},
		{
			name: "streams and consumers", publish: []string{"J.INFO", "J.STREAM.LIST", "J.STREAM.INFO.*", "J.CONSUMER.LIST.*", "J.STREAM.MSG.GET.*"},
		},
		{name: "probes of the connection", publish: []string{probes, "<inbox prefix>.*.live"}},
		{
			name: "leaders as they change, candidates and descriptors", optional: true,
			publish: []string{"ns.live.>", "ns.ask.*.*.*.*.all", "ns.desc.>", "J.DIRECT.GET.>"}, subscribe: []string{"ns.led.>"},
		},
	}
}

// partScaling is what a monitor reads for KEDA.
func partScaling() part {
	return part{name: "the scaler for KEDA", optional: true, publish: []string{"J.CONSUMER.INFO.*.*"}}
}

// roles returns all roles.
func roles() []role {
	return []role{
		{name: "client", title: "a client of", parts: clientParts(), service: true},
		{name: "server", title: "a server of", parts: serverParts(), replies: true, service: true},
		{
			name: "publisher", title: "a publisher of events of", service: true,
			parts: append(publisherParts(), partComparing(), partProbing(), partDescribing("E", "D")),
		},
		{
			name: "subscriber", title: "a subscriber to events of", service: true, replies: true,
			parts: append(subscriberParts(), partReplies(), partLiving(), partRegistering("S._events"), partProbing(), partDescribing("E", "D")),
		},
		{
			name: "sender", title: "a sender of commands of", service: true,
			parts: append(senderParts(), partReplies(), partComparing(), partProbing(), partDescribing("C", "D")),
		},
		{
			name: "worker", title: "a server that works commands of", replies: true, service: true,
			parts: append(append(serverParts(), workerParts()...), partDescribing("C", "D")),
		},
		{name: "admin", title: "who looks after dead letters of", parts: append(append(letterParts(), partAsking()), monitorParts()...), service: true},
		{name: "monitor", title: "who looks at all services", parts: append(monitorParts(), partScaling())},
	}
}

// roleNamed returns the role of a name.
func roleNamed(name string) (role, error) {
	var names []string
	for _, r := range roles() {
		if r.name == name {
			return r, nil
		}
		names = append(names, r.name)
	}
	if near := near.Name(name, names); near != "" {
		return role{}, cli.Usagef("--role %s: there is no such role; did you mean %s?", name, near)
	}
	return role{}, cli.Usagef("--role %s: there is no such role; use %s", name, strings.Join(names, ", "))
}

// rolesNamed returns a role with all that several need, whose names have commas between them:
// that of a program which serves calls and publishes events, say. One name is that role.
func rolesNamed(names string) (role, error) {
	list := strings.Split(names, ",")
	if len(list) == 1 {
		return roleNamed(names)
	}
	all := role{name: names, title: "a program that is " + strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1] + " of"}
	for _, name := range list {
		r, err := roleNamed(name)
		if err != nil {
			return role{}, err
		}
		all.parts = append(all.parts, r.parts...)
		all.replies = all.replies || r.replies
		all.service = all.service || r.service
	}
	return all, nil
}

// expander turns the spelling of the documents into subjects.
type expander struct {
	namespace, service, instance string
	api                          string // the prefix of the JetStream API
	inbox                        string // what the subjects of replies begin with
}

// expand returns a subject of a table: ns is the namespace, S the service, I the instance,
// J the prefix of the JetStream API, and E, C, R, D and A are the streams of events,
// commands, results, dead letters and attempts.
func (e *expander) expand(subject string) string {
	kv := "$KV"
	if e.api != defaultAPIPrefix {
		kv = e.api + ".$KV"
		if rest, ok := strings.CutPrefix(subject, "$JS.API."); ok {
			subject = "J." + rest
		}
	}
	streams := map[string]streamKind{"E": kindEvents, "C": kindCommands, "R": kindResults, "D": kindDead, "A": kindAttempts}
	tokens := strings.Split(subject, ".")
	api := tokens[0] == "J" || tokens[0] == "$JS"
	for i, word := range tokens {
		switch kind, isStream := streams[word]; {
		case api && isStream:
			tokens[i] = streamName(e.namespace, kind, e.service)
		case word == "ns" && i == 0:
			tokens[i] = e.namespace
		case word == "S":
			tokens[i] = e.service
		case word == "I":
			tokens[i] = e.instance
		case word == "J" && i == 0:
			tokens[i] = e.api
		case word == "$KV" && i == 0:
			tokens[i] = kv
		case word == "<inbox prefix>":
			tokens[i] = e.inbox
		case word == "KV_ns-registry":
			tokens[i] = kvStream(wire.RegistryBucket(e.namespace))
		case word == "KV_ns-leaders":
			tokens[i] = kvStream(wire.LeaderBucket(e.namespace))
		case word == "KV_ns-descriptors":
			tokens[i] = kvStream(e.namespace + "-descriptors")
		case word == "ns-descriptors":
			tokens[i] = e.namespace + "-descriptors"
		case word == "ns-registry":
			tokens[i] = wire.RegistryBucket(e.namespace)
		case word == "ns-leaders":
			tokens[i] = wire.LeaderBucket(e.namespace)
		}
	}
	return strings.Join(tokens, ".")
}

// expanded returns the parts of a role with subjects of NATS, each subject once.
func (e *expander) expanded(r *role) []part {
	parts := make([]part, 0, len(r.parts))
	var published, subscribed []string
	once := func(seen *[]string, subjects []string) []string {
		var fresh []string
		for _, s := range subjects {
			s = e.expand(s)
			if !slices.Contains(*seen, s) {
				*seen, fresh = append(*seen, s), append(fresh, s)
			}
		}
		return fresh
	}
	for _, p := range r.parts {
		p.publish, p.subscribe = once(&published, p.publish), once(&subscribed, p.subscribe)
		parts = append(parts, p)
	}
	return parts
}
