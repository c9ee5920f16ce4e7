package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The parts of a limit beyond which its use is worth a finding, in percent.
const (
	nearlyFull = 80
	full       = 95
)

// neededAckPending is max_ack_pending as the runtime asks for it.
const neededAckPending = 10_000

func checkJetStream() Check {
	return Check{
		Name: "jetstream", Looks: "whether the account has JetStream, and how much of its limits is used",
		Reads: "`$JS.API.INFO`",
		IDs:   words("account none full max_bytes_required max_ack_pending"),
		run: func(ctx context.Context, l *look) []Finding {
			a, err := l.account(ctx)
			switch {
			case errors.Is(err, errNoJetStream):
				return []Finding{warning("jetstream.none", "", "%v: load balanced calls, streams, broadcasts and core events work; "+
					"single active methods, durable events, commands and the registry do not", err).
					so("turn JetStream on (jetstream: enabled in the account), or name the right one with --js-domain or --js-api-prefix")}
			case err != nil:
				return []Finding{unread("jetstream.account", "", "the limits of the account", err)}
			}
			return judgeAccount(a)
		},
	}
}

// use is how much of a limit is used.
type use struct {
	name        string
	used, limit int64
	option      string
	bytes       bool
}

// text says how much of how much is used.
func (u *use) text() string {
	if u.bytes {
		return size(u.used) + " of " + size(u.limit)
	}
	return fmt.Sprintf("%d of %d", u.used, u.limit)
}

func (a *accountTier) uses(tier string) []use {
	in := ""
	if tier != "" {
		in = " (" + tier + ")"
	}
	return []use{
		{"file storage" + in, a.Store, a.Limits.MaxStore, "max_file", true},
		{"memory storage" + in, a.Memory, a.Limits.MaxMemory, "max_memory", true},
		{"streams" + in, int64(a.Streams), int64(a.Limits.MaxStreams), "max_streams", false},
		{"consumers" + in, int64(a.Consumers), int64(a.Limits.MaxConsumers), "max_consumers", false},
	}
}

// judgeAccount judges the limits of an account with JetStream.
func judgeAccount(a *account) []Finding {
	found := []Finding{ok("jetstream.account", "", "%s, %s and %s are in use%s",
		count(uint64(max(a.Streams, 0)), "stream", "streams"), count(uint64(max(a.Consumers, 0)), "consumer",
			"consumers"), size(a.Store), domain(a.Domain))}
	tiers := map[string]accountTier{}
	if len(a.Tiers) == 0 {
		tiers[""] = accountTier{Memory: a.Memory, Store: a.Store, Streams: a.Streams, Consumers: a.Consumers, Limits: a.Limits}
	}
	maps.Copy(tiers, a.Tiers)
	for _, name := range slices.Sorted(maps.Keys(tiers)) {
		tier := tiers[name]
		for _, u := range tier.uses(name) {
			if f, found1 := judgeUse(u); found1 {
				found = append(found, f)
			}
		}
		found = append(found, judgeLimits(name, &tier.Limits)...)
	}
	return found
}

func domain(name string) string {
	if name == "" {
		return ""
	}
	return " in the domain " + name
}

func judgeUse(u use) (Finding, bool) {
	if u.limit <= 0 || u.used*100 < u.limit*nearlyFull {
		return Finding{}, false
	}
	f := warning("jetstream.full", u.name, "%s %s of the account are used", u.text(), u.name)
	if u.used*100 >= u.limit*full {
		f.Severity = Failure
		f.Text += "; what exceeds the limit is refused"
	}
	return f.so("raise %s of the account, or remove what nobody needs (nats stream report)", u.option), true
}

func judgeLimits(tier string, limits *accountLimits) []Finding {
	var found []Finding
	if limits.MaxBytesRequired {
		found = append(found, info("jetstream.max_bytes_required", tier, "the account requires a size of every stream (max_bytes_required)").
			so("set max_bytes in event_storage and command_storage of the proto, or MaxBytes of aegis.WithStorage"))
	}
	if n := limits.MaxAckPending; n > 0 && n < neededAckPending {
		found = append(found, warning("jetstream.max_ack_pending", tier, "the account allows %d messages under way for each consumer, and not %d; "+
			"messages that wait for their next attempt count as well", n, neededAckPending).
			so("raise max_ack_pending of the account"))
	}
	return found
}
