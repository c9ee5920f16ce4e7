package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aegisrpc/aegis/internal/wire"
)

const (
	// silence is how long the last instance that has not answered has to be silent to
	// count as the one that is paused, and longestSilence how long all others may take.
	silence        = 50 * time.Millisecond
	longestSilence = 500 * time.Millisecond
	// awakening is how long an instance may take to answer once it goes on.
	awakening = 3 * time.Second
	// settled is how long an instance that does not answer may stay in the registry.
	settled = time.Minute
	// identifications is how often a process is looked at until the result is certain.
	identifications = 5
	// denials is how often all instances have to answer while a process is paused for the
	// process to be none of them.
	denials = 2
)

// identifier finds out which instance a process is: while the process is paused, all
// instances answer a ping but that one, which answers when the process goes on.
type identifier struct {
	nc      *nats.Conn
	service string
	crowd   *crowd
}

// identify returns the id of the instance that the process is in the registry, "" if it is
// no instance of the service.
func (f *identifier) identify(ctx context.Context, p *process) (id string, err error) {
	denied := 0
	for range identifications {
		all, err := f.crowd.serving()
		if err != nil {
			return "", err
		}
		id, silent, err := f.look(ctx, p, all)
		if err != nil {
			return "", err
		}
		switch {
		case id != "":
			return id, nil
		case silent == 0:
			if denied++; denied == denials {
				return "", nil
			}
		}
	}
	return "", fmt.Errorf("which instance %s is cannot be seen, as several do not answer a ping within %s", p, longestSilence)
}

// question is a ping to all instances, and those that have not answered it.
type question struct {
	sub     *nats.Subscription
	inbox   string
	missing []string
}

func (f *identifier) question(all []string) (*question, error) {
	q := &question{inbox: f.nc.NewRespInbox(), missing: slices.Clone(all)}
	var err error
	q.sub, err = f.nc.SubscribeSync(q.inbox)
	return q, err
}

func (q *question) close() { _ = q.sub.Unsubscribe() } // fails only without a connection

// ask sends the ping, and returns when NATS has it.
func (f *identifier) ask(q *question) error {
	subject, err := micro.ControlSubject(micro.PingVerb, wire.MicroName(f.service), "")
	if err != nil {
		return err
	}
	if err := f.nc.PublishRequest(subject, q.inbox, nil); err != nil {
		return err
	}
	return f.nc.FlushTimeout(longestSilence)
}

// settle waits until all instances that are known answer: the registry still has instances
// for a while that were killed before.
func (f *identifier) settle(ctx context.Context) error {
	deadline := time.Now().Add(settled)
	for ctx.Err() == nil {
		all, err := f.crowd.serving()
		if err != nil {
			return err
		}
		q, err := f.question(all)
		if err != nil {
			return err
		}
		if err := f.ask(q); err != nil {
			q.close()
			return fmt.Errorf("NATS does not answer: %w", err)
		}
		for end := time.Now().Add(longestSilence); len(q.missing) > 0 && time.Now().Before(end); {
			q.hear(ctx, time.Until(end))
		}
		q.close()
		switch {
		case len(all) > 0 && len(q.missing) == 0:
			return nil
		case time.Now().After(deadline) && len(all) == 0:
			return fmt.Errorf("no instance of %s serves", f.service)
		case time.Now().After(deadline):
			return fmt.Errorf("the instance %s of %s does not answer a ping", f.crowd.name(q.missing[0]), f.service)
		}
		sleep(ctx, glance)
	}
	return ctx.Err()
}

// look pauses a process for a moment. It returns the id of the instance that did not answer
// then, but does now, or how many did not answer.
func (f *identifier) look(ctx context.Context, p *process, all []string) (id string, silent int, err error) {
	q, err := f.question(all)
	if err != nil {
		return "", 0, err
	}
	defer q.close()
	thaw, err := p.freeze()
	if err != nil {
		return "", 0, err
	}
	defer thaw()
	if err := f.ask(q); err != nil {
		return "", 0, fmt.Errorf("NATS does not answer while %s is paused: this command does not harm NATS servers", p)
	}
	for deadline := time.Now().Add(longestSilence); len(q.missing) > 0 && time.Now().Before(deadline); {
		within := time.Until(deadline)
		if len(q.missing) == 1 {
			within = silence
		}
		if !q.hear(ctx, within) && len(q.missing) == 1 {
			break
		}
	}
	thaw()
	if len(q.missing) != 1 {
		return "", len(q.missing), ctx.Err()
	}
	id = q.missing[0]
	for deadline := time.Now().Add(awakening); len(q.missing) > 0 && time.Now().Before(deadline); {
		q.hear(ctx, time.Until(deadline))
	}
	if len(q.missing) > 0 {
		return "", 1, ctx.Err()
	}
	return id, 0, nil
}

// hear waits for an answer, and takes its instance from those that are missing. It returns
// false if none comes.
func (q *question) hear(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	msg, err := q.sub.NextMsgWithContext(ctx)
	if err != nil {
		return false
	}
	var body micro.Ping
	if json.Unmarshal(msg.Data, &body) == nil { // else it is "no responders"
		q.missing = slices.DeleteFunc(q.missing, func(id string) bool { return id == body.ID })
	}
	return true
}

// identifyAll finds out which instances the processes are. Those of aegis dev and of
// the demo that are none serve something else.
func (f *identifier) identifyAll(ctx context.Context, all *fleet) error {
	var serving []*process
	for _, p := range all.processes {
		if p.id == "" && !p.other {
			id, err := f.identify(ctx, p)
			if err != nil {
				if all.keeper != nil && errors.Is(err, errNoProcess) {
					continue // the keeper has not noticed it yet
				}
				return err
			}
			if id == "" && all.keeper == nil {
				return fmt.Errorf("%s does not serve %s by this NATS: all instances answer while it is paused", p, f.service)
			}
			p.id, p.other = id, id == ""
		}
		if p.id != "" {
			serving = append(serving, p)
		}
	}
	if len(serving) == 0 {
		return fmt.Errorf("none of the processes serves %s: %s", f.service, all)
	}
	return nil
}
