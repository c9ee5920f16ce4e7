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

// look pauses a process for a moment. It returns the id of the instance that did not answer
// then, but does now, or how many did not answer.
func (f *identifier) look(ctx context.Context, p *process, all []string) (id string, silent int, err error) {
	subject, err := micro.ControlSubject(micro.PingVerb, wire.MicroName(f.service), "")
	if err != nil {
		return "", 0, err
	}
	inbox := f.nc.NewRespInbox()
	sub, err := f.nc.SubscribeSync(inbox)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only without a connection
	thaw, err := p.freeze()
	if err != nil {
		return "", 0, err
	}
	defer thaw()
	if err := f.nc.PublishRequest(subject, inbox, nil); err != nil {
		return "", 0, err
	}
	if err := f.nc.FlushTimeout(longestSilence); err != nil {
		return "", 0, fmt.Errorf("NATS does not answer while %s is paused: this command does not harm NATS servers", p)
	}
	missing := slices.Clone(all)
	deadline := time.Now().Add(longestSilence)
	for len(missing) > 0 && time.Now().Before(deadline) {
		within := time.Until(deadline)
		if len(missing) == 1 {
			within = silence
		}
		if !f.hear(ctx, sub, within, &missing) && len(missing) == 1 {
			break
		}
	}
	thaw()
	if len(missing) != 1 {
		return "", len(missing), ctx.Err()
	}
	id = missing[0]
	for deadline := time.Now().Add(awakening); len(missing) > 0 && time.Now().Before(deadline); {
		f.hear(ctx, sub, time.Until(deadline), &missing)
	}
	if len(missing) > 0 {
		return "", 1, ctx.Err()
	}
	return id, 0, nil
}

// hear waits for an answer, and takes its instance from those that are missing. It returns
// false if none comes.
func (f *identifier) hear(ctx context.Context, sub *nats.Subscription, within time.Duration, missing *[]string) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	msg, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return false
	}
	var body micro.Ping
	if json.Unmarshal(msg.Data, &body) == nil { // else it is "no responders"
		*missing = slices.DeleteFunc(*missing, func(id string) bool { return id == body.ID })
	}
	return true
}

// identifyAll finds out which instances the processes are. Those of aegis dev that are none
// serve something else.
func (f *identifier) identifyAll(ctx context.Context, all *fleet) error {
	var serving []*process
	for _, p := range all.processes {
		if p.id == "" && !p.other {
			id, err := f.identify(ctx, p)
			if err != nil {
				if all.dev != "" && errors.Is(err, errNoProcess) {
					continue // aegis dev has not noticed it yet
				}
				return err
			}
			if id == "" && all.dev == "" {
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
