package doctor

import (
	"context"
	"crypto/rand"
	"errors"
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
		IDs:   []string{"seen", "hidden", "unknown"},
		run: func(ctx context.Context, l *look) []Finding {
			var probes []voidProbe
			results := make(chan voidProbe)
			for _, kind := range voidKinds() {
				go func() { results <- l.probeVoid(ctx, kind) }()
			}
			for range voidKinds() {
				probes = append(probes, <-results)
			}
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
				if covers(subject, l.subjects.Void(probes[i].kind, "x")) {
					probes[i].other = s.Config.Name
				}
			}
		}
	}
}

// judgeVoid judges the probes of all kinds.
func judgeVoid(subjects wire.Subjects, probes []voidProbe) []Finding {
	const slow = "calls to services that are not there take their whole timeout"
	var found []Finding
	seen := true
	for _, p := range probes {
		kind := subjects.Kind(p.kind)
		stream := p.stream
		if stream == "" {
			stream = p.other
		}
		switch {
		case p.err != nil:
			seen = false
			found = append(found, unknown("void.unknown", kind, "whether NATS says that nobody listens to %s cannot be tried: %v", kind, p.err).
				so("let this user publish to %q", subjects.Void("*", "*")))
		case p.hidden && stream != "":
			seen = false
			found = append(found, warning("void.hidden", kind, "the stream %s stores what is sent to %s, so that NATS does not say when nobody listens; %s", stream, kind, slow).
				so("take %s out of the subjects of the stream: nats stream edit %s --subjects ...", kind, stream))
		case p.hidden:
			seen = false
			found = append(found, warning("void.hidden", kind, "NATS does not say when nobody listens to %s: somebody subscribes to everything, or a gateway is optimistic; %s", kind, slow).
				so("find the subscription and end it: nats server report connections --subscriptions, or look for nats sub '>'"))
		}
	}
	if seen {
		found = append(found, ok("void.seen", "", "NATS says at once when nobody listens"))
	}
	return found
}
