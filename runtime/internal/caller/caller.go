// Package caller makes the calls of clients: it sends a request to where it has to go, to the
// queue group, to a leader, or to the instance that a strategy has picked, and sends it again
// as often as package retry says. It knows neither interceptors nor the types of messages.
package caller

import (
	"fmt"
	"sync/atomic"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/calling"
	"github.com/aegisrpc/aegis/runtime/internal/keyfield"
	"github.com/aegisrpc/aegis/runtime/internal/leaderview"
	"github.com/aegisrpc/aegis/runtime/internal/patterns"
	"github.com/aegisrpc/aegis/runtime/internal/retry"
	"github.com/aegisrpc/aegis/runtime/internal/targets"
)

// Options are those of New: the service, and what a connection has for all of its clients.
type Options struct {
	Service  *spec.Service
	Budget   *retry.Budget
	Bus      *bus.Bus
	Void     *bus.Void
	Subjects wire.Subjects
	Patterns *patterns.Watch
	Leaders  *leaderview.Views
	Targets  *targets.Tables
	Figures  *calling.Figures
	Zone     string // of this process, "" if unknown
}

// Client has what the methods of one client share. It is safe for concurrent use.
type Client struct {
	o       Options
	repeat  bus.Repeat                  // from the budget
	leaders map[string]*leaderview.View // by group
}

// New makes a client. From then on the connection follows the leaders of the groups of the
// service.
func New(o Options) (*Client, error) {
	c := &Client{o: o, repeat: bus.Repeat{Budget: o.Budget}, leaders: make(map[string]*leaderview.View)}
	for _, m := range o.Service.Methods {
		if m.Pattern != spec.SingleActive || c.leaders[m.Group] != nil {
			continue
		}
		view, err := o.Leaders.Of(o.Service.Name, m.Group)
		if err != nil {
			return nil, fmt.Errorf("aegis: subscribe to who leads %s, group %s: %w", o.Service.Name, m.Group, err)
		}
		c.leaders[m.Group] = view
		o.Void.Use(wire.KindLead)
	}
	return c, nil
}

// Method is one method of a client. It is safe for concurrent use.
type Method struct {
	// Figures count the calls; Begin and Done are called by the method's user.
	Figures *calling.Method
	// Subject is where any instance is called, or all instances of a broadcast are, and Cancel
	// where servers are told that a caller waits no longer.
	Subject, Cancel string

	client *Client
	spec   *spec.Method
	name   string // the full name
	millis int64  // the method's own timeout

	key     keyfield.Path
	targets atomic.Pointer[targets.Method] // nil before the first call that needs it

	leader *leaderview.View            // nil unless the method is single active
	led    atomic.Pointer[termSubject] // of the last leader that was called
}

// termSubject is where the leader of a term is called.
type termSubject struct {
	term    uint64
	subject string
}

// Method returns a method of the client's service.
func (c *Client) Method(m *spec.Method) *Method {
	service, subjects := c.o.Service.Name, c.o.Subjects
	method := &Method{
		client: c, spec: m, name: service + "." + m.Name, key: keyfield.New(m.StickyField),
		Figures: c.o.Figures.Of(service, m.Name), Subject: subjects.Call(service, m.Name), Cancel: subjects.Cancel(service),
	}
	if m.Timeout > 0 {
		method.millis = wire.TimeoutMillis(m.Timeout)
	}
	switch m.Pattern {
	case spec.SingleActive:
		method.leader = c.leaders[m.Group]
	case spec.Broadcast:
		method.Subject = subjects.All(service, m.Name)
	default:
	}
	return method
}
