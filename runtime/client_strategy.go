package aegis

import (
	"github.com/aegisrpc/aegis/runtime/internal/targets"
	"github.com/aegisrpc/aegis/runtime/selection"
)

type targetsKey struct{}

// targets returns the tables of instances that all clients of the connection share.
func (c *Conn) targets() *targets.Tables {
	return perConn(c, targetsKey{}, func() *targets.Tables {
		return targets.New(targets.Options{
			Context: c.ctx, Bus: c.bus, Directory: c.directory, Subjects: c.subjects, Zone: c.standing.origin.Zone, Start: c.start, Logger: c.logger,
		})
	})
}

// selectBy returns the option for a strategy.
func selectBy(s targets.Strategy) CallOption {
	return callOption(func(c *callConfig) error {
		if err := c.given.Select(s.Kind.String()); err != nil {
			return refusedOption(err)
		}
		if s.Kind != targets.ByKey || c.given.Selection == s.Kind.String() { // beside a SelectBy, the key is for that
			c.Strategy = s
		}
		c.Instance = ""
		return nil
	})
}

// QueueGroup lets NATS pick the instance: each that listens has the same probability. The
// client needs to know of no instances. This is the default, except for methods with a
// sticky_field or prefer_zone in the proto.
//
// QueueGroup and the other strategies are for load balanced methods: the calls of single
// active methods go to the leader. As options of a client the strategies affect neither
// single active methods nor broadcasts; given to a call of one they are an error with
// CodeInvalidArgument. Two of these options, or one and ToInstance, in one call or for one
// client are an error as well; the options of a call win over those of the client.
func QueueGroup() CallOption { return selectBy(targets.Strategy{Kind: targets.ByQueueGroup}) }

// RoundRobin sends calls to the running and healthy instances that have the method in
// turn. As long as these instances stay the same, none gets two more of the calls of one
// method over one connection than another, by whatever clients and goroutines the calls
// are made. An instance that joins takes its turn from then on, and makes up for nothing;
// a call that is tried again goes to the next instance that was not tried, out of turn.
//
// As all strategies but QueueGroup, RoundRobin has the connection watch the service from
// the first call on, until the connection is closed. That call waits until the instances
// are known, for up to 5 s or its deadline; its error is then CodeUnavailable or
// CodeDeadlineExceeded, and nothing was sent. A call that meets an instance
// which does not listen any more, or refuses the call, goes to another one at once.
// If no instance is there, the error is ErrNoResponders.
//
// If the instance that was called is found to be gone before it replies, the
// call ends at once, with CodeUnavailable and ReasonInstanceLost, unless it is
// idempotent and can be tried again.
func RoundRobin() CallOption { return selectBy(targets.Strategy{Kind: targets.ByRoundRobin}) }

// Random sends each call to any of the running instances; see RoundRobin.
func Random() CallOption { return selectBy(targets.Strategy{Kind: targets.ByRandom}) }

// LeastLoaded sends each call to the less loaded of two random instances, by
// what this connection has seen of them and what their heartbeats say; see
// selection.LeastLoaded and RoundRobin.
func LeastLoaded() CallOption { return selectBy(targets.Strategy{Kind: targets.ByLoad}) }

// StickyKey sends the calls of one key to one instance, as long as that instance runs and
// has no more than 1.5 times its share of this connection's calls; see
// selection.Sticky and RoundRobin. The key wins over the sticky_field of the
// proto, by which calls are selected unless an option says otherwise, and must
// not be empty.
func StickyKey(key string) CallOption {
	return callOption(func(c *callConfig) error {
		if key == "" {
			return invalidOption("the sticky key is empty; leave the option out for a call without a key")
		}
		c.Key = key
		return selectBy(targets.Strategy{Kind: targets.ByKey}).applyCall(c)
	})
}

// PreferZone keeps calls within the zone of this process, see [WithZone], while an instance
// there can take them: it runs, is healthy, answers, has no more calls than it may run at
// once, and has refused none as too many within the last 100 ms. Else the call goes to
// another zone, and the next one is looked at anew; see selection.PreferZone and RoundRobin.
// It is the default of methods with prefer_zone in the proto. Without a zone of this process
// it is as QueueGroup.
func PreferZone() CallOption { return selectBy(targets.Strategy{Kind: targets.ByZone}) }

// WhereLabel sends calls to those instances whose label has a value, see [WithLabels], and
// among them to the less loaded of two random ones; see LeastLoaded and RoundRobin. Reserved
// instances are among them, see [WithReserved]. If none has it, the error is
// ErrNoResponders, and names instances that are there. Make the option once and use it for
// many calls: it keeps which instances have the label. For several labels, or another choice
// among the instances, give a strategy of selection.Where to SelectBy.
func WhereLabel(key, value string) CallOption {
	s := targets.Strategy{Kind: targets.ByLabel, Own: targets.NewOwn(selection.Where(key, value, nil))}
	return callOption(func(c *callConfig) error {
		if key == "" {
			return invalidOption("the key of the label is empty; leave WhereLabel out for any instance")
		}
		return selectBy(s).applyCall(c)
	})
}

// SelectBy sends calls where a strategy of your own says; see RoundRobin. Make
// the option once and use it for many calls: it keeps what the strategy has prepared.
// The key that the strategy is given is that of a StickyKey beside it or
// of the client, else the value of the proto's sticky_field.
//
// If the strategy picks no instance, the call ends with CodeUnavailable; if it panics, or
// picks an instance that is not there, with CodeInternal. The strategy must not block, and
// must be safe for concurrent use.
func SelectBy(own selection.Strategy) CallOption {
	s := targets.Strategy{Kind: targets.ByOwn, Own: targets.NewOwn(own)}
	return callOption(func(c *callConfig) error {
		if own == nil {
			return invalidOption("the strategy is nil; use QueueGroup for none")
		}
		return selectBy(s).applyCall(c)
	})
}
