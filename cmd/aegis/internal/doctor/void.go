package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
)

// voidProbe is the outcome of a request to a subject that nobody serves.
type voidProbe struct {
	kind   string
	hidden bool
	stream string // the stream that has answered, where one has
	// other is the stream that takes the kind by its subjects, where no stream has answered:
	// it has no_ack.
	other string
	err   error // the probe could not be made
}

// voidTimeout is how long "no responders" is waited for.
const voidTimeout = 2 * time.Second

// voidKinds are the kinds of subjects to which clients and servers send requests.
func voidKinds() []string {
	return []string{wire.KindCall, wire.KindInstance, wire.KindAll, wire.KindLead, wire.KindWho, wire.KindIn, wire.KindLive}
}

func checkVoid() Check {
	return Check{
		Name: "void", Looks: "whether NATS can say that nobody listens (no responders), and what hides it",
		Reads: "a request to the void subject of each kind, `ns.*._void.*`; the streams that take such subjects",
		IDs:   words("seen hidden unknown"),
		run: func(ctx context.Context, l *look) []Finding {
			probes := make([]voidProbe, len(voidKinds()))
			var wait sync.WaitGroup
			for i, kind := range voidKinds() {
				wait.Go(func() { probes[i] = l.probeVoid(ctx, kind) })
			}
			wait.Wait()
			l.nameStreams(ctx, probes)
			return judgeVoid(l.subjects, probes)
		},
	}
}

func (l *look) probeVoid(ctx context.Context, kind string) voidProbe {
	p := voidProbe{kind: kind}
	ctx, cancel := context.WithTimeout(ctx, voidTimeout)
	defer cancel()
	msg, err := l.request(ctx, l.subjects.Void(kind, rand.Text()), nil)
	var denied *deniedError
	switch {
	case errors.Is(err, nats.ErrNoResponders):
	case errors.As(err, &denied), !l.connected():
		p.err = err
	case err != nil:
		p.hidden = true // nobody has answered, and NATS has not said so
	default:
		p.hidden = true
		if len(msg.Header) == 0 {
			p.stream, _ = wire.StoredBy(msg.Data)
		}
	}
	return p
}

// nameStreams looks for the streams that hide "no responders" without an answer.
func (l *look) nameStreams(ctx context.Context, probes []voidProbe) {
	for i := range probes {
		if !probes[i].hidden || probes[i].stream != "" {
			continue
		}
		streams, err := l.streams(ctx)
		if err != nil {
			return // the finding does without the name
		}
		for _, s := range streams {
			for _, subject := range s.Config.Subjects {
				if wire.Covers(subject, l.subjects.Void(probes[i].kind, "x")) {
					probes[i].other = s.Config.Name
				}
			}
		}
	}
}

// judgeVoid judges the probes of all kinds.
func judgeVoid(subjects wire.Subjects, probes []voidProbe) []Finding {
	const slow = "calls to services that are not there take their whole timeout"
	hidden := make(map[string][]string) // the kinds, by the stream that hides them; "" for a subscription
	var found []Finding
	var untried []string
	var why error
	for _, p := range probes {
		switch kind := subjects.Kind(p.kind); {
		case p.err != nil:
			untried, why = append(untried, kind), p.err
		case p.hidden:
			by := cmp.Or(p.stream, p.other)
			hidden[by] = append(hidden[by], kind)
		}
	}
	for _, stream := range slices.Sorted(maps.Keys(hidden)) {
		kinds := strings.Join(hidden[stream], ", ")
		if stream != "" {
			found = append(found, warning("void.hidden", stream,
				"the stream %s stores what is sent to %s, so that NATS does not say when nobody listens; %s", stream, kinds, slow).
				so("take %s out of the subjects of the stream: nats stream edit %s --subjects ...", kinds, stream))
			continue
		}
		found = append(found, warning("void.hidden", "",
			"NATS does not say when nobody listens to %s: somebody subscribes to all of that, or a gateway is optimistic; %s", kinds, slow).
			so("find the subscription and end it: look for nats sub '>', or for it among nats server report connections --subscriptions"))
	}
	if len(untried) > 0 {
		found = append(found, unknown("void.unknown", "",
			"whether NATS says that nobody listens to %s cannot be tried: %v", strings.Join(untried, ", "), why).
			so("let this user publish to %q", subjects.Void("*", "*")))
	}
	if len(found) == 0 {
		found = append(found, ok("void.seen", "", "NATS says at once when nobody listens"))
	}
	return found
}
