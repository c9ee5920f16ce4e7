package collect

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

const (
	// replyWindow is how long a round waits for the replies of all instances.
	replyWindow = 300 * time.Millisecond
	// noAnswer is for how long nobody answers before that is a problem: answers may be late.
	noAnswer = 10 * time.Second
	// spreadOver is the time over which the questions of a round are spread, so that their
	// replies come as no burst, and spreadFrom how many questions are worth that.
	spreadOver = 100 * time.Millisecond
	spreadFrom = 16
)

// figuresPace lets what a page shows be no older than a second, the time in which the
// instances reply included. Of a round most time is waited, so that it need not be a small part.
var figuresPace = pace{topic: interest.Figures, looked: 800 * time.Millisecond, unseen: 5 * time.Second, share: 2}

// statsSubjects begins the subjects on which the figures of services are asked for.
const statsSubjects = micro.APIPrefix + ".STATS"

// readFigures asks all instances for their figures, round after round. After each round the
// board judges.
func (c *Collector) readFigures(ctx context.Context) {
	r := &round{collector: c, inbox: c.conn.NATS().NewInbox()}
	r.replies.take = c.takeStats
	defer c.watchDenials(&r.denied, func(d *denials.Denial) bool { return d.Below(statsSubjects) })()
	stopListening, err := c.listen(r.inbox, r.replies.heard)
	if err != nil {
		return // the connection is closed for good
	}
	defer stopListening()
	for {
		began := time.Now()
		c.readInstances(ctx)
		if c.in.Bus.Link.Up() {
			r.ask(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		c.board.Tick(time.Now())
		c.config.Round()
		figuresPace.wait(ctx, c.interest, began)
	}
}

// round asks for the figures of all services. One goroutine uses it; replies come in
// another one.
type round struct {
	collector *Collector
	inbox     string
	replies   replies
	denied    denial
	returns   uint64 // of the connection at the last round
}

// ask asks all services, and returns when all instances have replied or the window is over.
func (r *round) ask(ctx context.Context) {
	c := r.collector
	if returns := c.in.Bus.Link.Returns(); returns != r.returns {
		r.returns = returns
		r.denied.forget() // the user may have another permission by now
	}
	if !r.denied.due() {
		r.tell(ctx)
		return
	}
	list, _ := c.roster.all()
	all := r.replies.begin(list)
	names := r.replies.names()
	for i, name := range names {
		if len(names) >= spreadFrom && i > 0 && !sleep(ctx, spreadOver/time.Duration(len(names)), nil) {
			return
		}
		_ = c.conn.NATS().PublishRequest(statsSubjects+"."+name, r.inbox, nil) // it is asked again in the next round
	}
	sleep(ctx, replyWindow, all)
	if r.replies.silent(time.Now()) < replyWindow {
		r.denied.forget()
	}
	r.tell(ctx)
}

// tell tells how figures can be read.
func (r *round) tell(ctx context.Context) {
	c := r.collector
	silent, malformed := r.replies.silent(time.Now()), r.replies.hasMalformed()
	_, known := c.roster.all()
	switch {
	case ctx.Err() != nil || !c.in.Bus.Link.Up():
	case !known:
		c.sources.tell(monitorapi.SourceFigures, monitorapi.SourceFailed, "which instances there are is not known, so that none can be asked")
	case r.denied.holds():
		c.sources.denied(monitorapi.SourceFigures, "this user may not publish to "+statsSubjects+".*, so that figures are those of heartbeats alone: "+
			"without single methods, and of the last minute. Allow it to publish to "+statsSubjects+".*")
	case silent >= noAnswer:
		c.sources.tell(monitorapi.SourceFigures, monitorapi.SourceFailed,
			"no instance answers to "+statsSubjects+": servers that may not subscribe to "+micro.APIPrefix+".> do not")
	case malformed:
		c.sources.partly(monitorapi.SourceFigures, "some of what answers to "+statsSubjects+" is no reply of an instance, and is ignored")
	default:
		c.sources.ready(monitorapi.SourceFigures)
	}
}

// microName returns the name under which a server of a service, or a subscriber to its
// events, answers.
func microName(service string, subscriber bool) string {
	name := wire.MicroName(service)
	if subscriber {
		return name + subscriberSuffix
	}
	return name
}
