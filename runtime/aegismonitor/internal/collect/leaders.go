package collect

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// leadersTimeout bounds the question for all leaders and candidates.
	leadersTimeout = 5 * time.Second
	// maxTerm is the greatest number of a term: JSON keeps larger integers not everywhere.
	maxTerm = 1<<53 - 1
)

var leadersPace = pace{topic: interest.Figures, looked: 3 * time.Second, unseen: 15 * time.Second, share: quarter}

// leaders finds out who leads: at once by announcements, and by the records of leaders as
// they are written; for certain every few seconds by the records and the candidates; and
// whether the leaders are there by asking them, see probes.
type leaders struct {
	*Collector

	records *records
	probes  *probes
	deaf    denial // of announcements
}

func newLeaders(c *Collector) *leaders {
	l := &leaders{Collector: c}
	l.probes = newProbes(c)
	l.records = newRecords(c, l.probes.isGone)
	return l
}

func (l *leaders) run(ctx context.Context) {
	subject := l.subjects.LedAll()
	defer l.watchDenials(&l.deaf, func(d *denials.Denial) bool { return d.Subscribe && d.Subject == subject })()
	stopListening, err := l.listen(subject, l.announced)
	if err != nil {
		return // the connection is closed for good
	}
	defer stopListening()
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){l.records.follow, l.probes.run, l.read} {
		parts.Go(func() { part(ctx) })
	}
	parts.Wait()
}

// announced takes the word of a new leader that it serves.
func (l *leaders) announced(msg *nats.Msg) {
	l.deaf.forget()
	service, group, ok := l.subjects.ParseLed(msg.Subject)
	said, decoded := wire.DecodeLeader(msg.Data)
	if !ok || !decoded || !l.believable(service, group, said) {
		return
	}
	l.board.Led(time.Now(), service, group, reigns.Leader{Instance: said.Instance, Term: said.Term})
}

// believable reports whether an announcement can be one of an instance of the namespace.
func (l *leaders) believable(service, group string, said wire.Leader) bool {
	return registry.ValidService(service) && wire.ValidInstance(group) && wire.ValidInstance(said.Instance) &&
		said.Term > 0 && said.Term <= maxTerm && l.roster.hasService(service)
}

// read reads all leaders and candidates, round after round.
func (l *leaders) read(ctx context.Context) {
	for {
		began := time.Now()
		var err error
		if l.in.Bus.Link.Up() {
			err = l.readOnce(ctx)
		}
		wait := leadersPace.wait
		if aegis.CodeOf(err) == aegis.CodePermissionDenied {
			wait = waitDenied
		}
		if !wait(ctx, l.interest, began) {
			return
		}
	}
}

// waitDenied waits before something is tried again that NATS has denied.
func waitDenied(ctx context.Context, _ *interest.Interest, _ time.Time) bool {
	return sleep(ctx, deniedPause, nil)
}

func (l *leaders) readOnce(ctx context.Context) error {
	list, err := l.ask(ctx, aegis.AllServices)
	if aegis.CodeOf(err) == aegis.CodeInternal { // a record that is none hides all others
		list = l.askEach(ctx)
	} else if err != nil {
		l.sources.failed(ctx, monitorapi.SourceLeaders, err)
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.board.LeaderRecords(time.Now(), list)
	l.records.compare(list)
	l.sources.partly(monitorapi.SourceLeaders, strings.Join(l.problems(err), "; "))
	return nil
}

func (l *leaders) ask(ctx context.Context, service string) ([]aegisadmin.Leadership, error) {
	ctx, cancel := context.WithTimeout(ctx, leadersTimeout)
	defer cancel()
	return l.admin.Leaders(ctx, service)
}

// askEach asks for the leaders of one service after the other, and leaves those out of which
// a record cannot be read.
func (l *leaders) askEach(ctx context.Context) []aegisadmin.Leadership {
	var all []aegisadmin.Leadership
	for _, service := range l.roster.services() {
		if list, err := l.ask(ctx, service); err == nil {
			all = append(all, list...)
		}
	}
	return all
}

// problems says what is missing beside an error.
func (l *leaders) problems(err error) []string {
	var list []string
	if err != nil {
		list = append(list, err.Error())
	}
	ns := l.in.Layout.Namespace
	if l.probes.denied.holds() {
		list = append(list, "that a leader is lost is seen only when another one follows: allow this user to publish to "+ns+".live.>")
	}
	late := ", so that a change of leaders may be seen some seconds late: "
	if l.deaf.holds() {
		list = append(list, "new leaders are not heard"+late+"allow this user to subscribe to "+l.subjects.LedAll())
	}
	if why := l.records.problem(); why != "" {
		list = append(list, "the bucket of leaders cannot be followed"+late+why)
	}
	return list
}
