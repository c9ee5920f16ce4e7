package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/natsversion"
	"github.com/aegisrpc/aegis/internal/wire"
)

// trial is one subject of a role, and what became of it.
type trial struct {
	part      *part
	subject   string // as the permission names it
	tried     string // without wildcards
	queue     string
	subscribe bool
	refused   bool
	untried   string // why the subject was not tried; ""
}

func checkPermissions() Check {
	return Check{
		Name: "permissions", Looks: "whether NATS allows this user what a role needs (--role, --service); nothing is stored or delivered by the trials",
		Reads: "each subject of the role: subscribing and leaving again, and messages that nobody takes",
		IDs:   words("allowed publish subscribe untried skipped"),
		run: func(ctx context.Context, l *look) []Finding {
			if l.scope.Role == "" {
				return []Finding{info("permissions.skipped", "", "no permissions were tried, as no role is given").
					so("aegis doctor --role server --service S tries those of a server; --print-permissions prints them")}
			}
			r, err := rolesNamed(l.scope.Role)
			if err != nil {
				return []Finding{unknown("permissions.untried", "", "%v", err)}
			}
			e := l.expander()
			trials, err := l.try(ctx, e.expanded(&r))
			if err != nil {
				return []Finding{unknown("permissions.untried", "", "the permissions cannot be tried: %v", err)}
			}
			return judgePermissions(&r, l.scope.Service, trials)
		},
	}
}

func (l *look) expander() expander {
	return newExpander(l.namespace, l.api, l.inboxPrefix(), &l.scope)
}

func newExpander(namespace, api, inbox string, scope *Scope) expander {
	e := expander{namespace: namespace, service: scope.Service, instance: scope.Instance, api: api, inbox: inbox}
	if e.instance == "" {
		e.instance = "*"
	}
	return e
}

// void stands for a token in the subjects that are tried. No name of Aegis begins with an
// underscore, so that nobody is reached.
const void = "_void"

// concrete returns a subject that a pattern covers and that nobody listens to, or that is
// the pattern itself.
func concrete(pattern string) string {
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		if token == "*" || token == ">" {
			tokens[i] = void
		}
	}
	return strings.Join(tokens, ".")
}

func trialsOf(parts []part) []trial {
	var trials []trial
	for i := range parts {
		for _, s := range parts[i].publish {
			trials = append(trials, trial{part: &parts[i], subject: s, tried: concrete(s)})
		}
		for _, s := range parts[i].subscribe {
			subject, queue, _ := strings.Cut(s, " ")
			trials = append(trials, trial{part: &parts[i], subject: s, tried: concrete(subject), queue: queue, subscribe: true})
		}
	}
	return trials
}

// try publishes and subscribes to the subjects of a role, and returns what NATS has
// refused.
func (l *look) try(ctx context.Context, parts []part) ([]trial, error) {
	trials := trialsOf(parts)
	refused := make(map[bool]map[string]bool)
	refused[true], refused[false] = make(map[string]bool), make(map[string]bool)
	stop := l.watchDenials(func(d *deniedError) { refused[d.subscribe][d.subject] = true })
	err := l.attempt(ctx, trials)
	stop()
	if err != nil {
		return nil, err
	}
	note := func() {
		for i := range trials {
			t := &trials[i]
			t.refused = t.untried == "" && refused[t.subscribe][t.tried]
		}
	}
	note()
	stop = l.watchDenials(func(d *deniedError) { refused[d.subscribe][d.subject] = true })
	err = l.attemptHeard(ctx, trials)
	stop()
	note()
	return trials, err
}

// heard reports whether somebody listens to the subject that is tried, so that a message
// there would disturb: heartbeats are read by whoever watches the service.
func (l *look) heard(t *trial) bool {
	return !t.subscribe && strings.HasPrefix(t.tried, strings.TrimSuffix(l.subjects.Beats(""), ">"))
}

// attempt tries all subjects to which a message does no harm.
func (l *look) attempt(ctx context.Context, trials []trial) error {
	var subs []*nats.Subscription
	defer func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe() // fails only on a connection that is closed, or for one that was refused
		}
	}()
	for i := range trials {
		t := &trials[i]
		switch {
		case t.subscribe:
			sub, err := l.listen(t)
			if err != nil {
				return err
			}
			subs = append(subs, sub)
		case !l.heard(t):
			if err := l.nc.PublishMsg(l.harmless(t.tried)); err != nil {
				return err
			}
		}
	}
	return l.settle(ctx)
}

func (l *look) listen(t *trial) (*nats.Subscription, error) {
	ignore := func(*nats.Msg) {}
	if t.queue != "" {
		return l.nc.QueueSubscribe(t.tried, t.queue, ignore)
	}
	return l.nc.Subscribe(t.tried, ignore)
}

// harmless returns a message that changes nothing wherever it arrives: no stream stores
// it, as it names a stream that does not exist, and the JetStream API refuses it, as its
// body is JSON that has no end: a body that does not begin like JSON is ignored by some
// operations, and a purge without a body purges all. Nobody can answer it.
func (l *look) harmless(subject string) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{"Nats-Expected-Stream": {void}}}
	if strings.HasPrefix(subject, l.api+".") && !strings.HasPrefix(subject, l.api+".$KV.") {
		msg.Data = []byte(`{"filter":"` + void + `","seq":0`)
	}
	return msg
}

// quiet reports whether nobody listens to a subject that is tried, and no stream has it.
func (l *look) quiet(tried string) bool {
	rest, ok := strings.CutPrefix(tried, l.namespace+".")
	kind, _, _ := strings.Cut(rest, ".")
	return ok && strings.HasSuffix(tried, "."+void) &&
		slices.Contains([]string{void, wire.KindCall, wire.KindLive, wire.KindEvent, wire.KindTold, wire.KindAll, wire.KindIn}, kind)
}

// attemptHeard tries the subjects that somebody listens to with messages of NATS's
// tracing, which NATS delivers to nobody. It needs a subject for the trace that this user
// may publish to and that nobody listens to.
func (l *look) attemptHeard(ctx context.Context, trials []trial) error {
	dest := ""
	for i := range trials {
		if t := &trials[i]; !t.subscribe && !t.refused && l.quiet(t.tried) {
			dest = t.tried
			break
		}
	}
	v, known := natsversion.Parse(l.nc.ConnectedServerVersion())
	why := ""
	switch {
	case !known || v.Before(oldestForTracing):
		why = "the NATS server is older than " + oldestForTracing.String() + ", and a message there would be a heartbeat"
	case dest == "":
		why = "this user may publish nowhere else, and a message there would be a heartbeat"
	}
	for i := range trials {
		t := &trials[i]
		if !l.heard(t) {
			continue
		}
		if t.untried = why; why != "" {
			continue
		}
		msg := &nats.Msg{Subject: t.tried, Header: nats.Header{"Nats-Trace-Dest": {dest}, "Nats-Trace-Only": {"true"}}}
		if err := l.nc.PublishMsg(msg); err != nil {
			return err
		}
	}
	return l.settle(ctx)
}

// judgePermissions judges what became of the trials of a role.
func judgePermissions(r *role, service string, trials []trial) []Finding {
	about := strings.TrimSpace(r.title + " " + service)
	var found []Finding
	allowed := 0
	var untried []string
	for i := range trials {
		t := &trials[i]
		verb := publishing
		if t.subscribe {
			verb = subscribing
		}
		switch {
		case t.untried != "":
			untried = append(untried, t.subject)
		case !t.refused:
			allowed++
		default:
			f := failure("permissions."+verb, t.subject,
				"NATS does not allow this user to %s to %s (tried with %s), which %s needs for %s", verb, t.subject, t.tried, about, t.part.name)
			if t.part.optional {
				f.Severity = Warning
				f.Text += ", if it has any use of that"
			}
			found = append(found, f.so("add the line %q to %s in the permissions of the user", t.subject, verb))
		}
	}
	if len(untried) > 0 {
		i := slices.IndexFunc(trials, func(t trial) bool { return t.untried != "" })
		found = append(found, unknown("permissions.untried", "", "%s not tried: %s", some(untried), trials[i].untried).
			so("see whether publish in the permissions of the user covers %q", untried[0]))
	}
	if len(found) == 0 {
		text := "NATS allows this user the %d subjects that %s needs"
		if r.replies {
			text += "; whether it may answer (allow_responses) cannot be tried"
		}
		found = append(found, ok("permissions.allowed", "", text, allowed, about))
	}
	return found
}
