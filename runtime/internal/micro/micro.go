// Package micro answers for services as NATS micro services do (ADR-32), so that
// the tools for NATS micro see them: `nats micro ls`, `info`, `stats` and `ping`.
package micro

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// backlog is how many questions may wait. nats.go drops further ones, and the tool that
// asked counts an instance less.
const backlog = 1024

// flushTimeout is how long NATS may take to accept the subscriptions.
const flushTimeout = 2 * time.Second

// Service is one service of this process.
type Service struct {
	Name        string // without dots
	ID          string
	Version     string
	Description string
	Metadata    map[string]string
	Endpoints   []Endpoint
}

// Endpoint is one method.
type Endpoint struct {
	Name     string
	Subject  string
	Queue    string // "": none
	Metadata map[string]string
	Stats    func() Stats // called with each question for the statistics
}

// Stats are the figures of an endpoint since the process started.
type Stats struct {
	Requests, Errors int64
	LastError        string
	Processing       time.Duration   // of all requests together
	Data             json.RawMessage // a report; nil for none
}

// Responder answers for the services of one process.
type Responder struct {
	nc       *nats.Conn
	services []Service
	started  time.Time

	inbox   chan *nats.Msg // the questions; never closed, as nats.go sends to it
	subs    []*nats.Subscription
	answers map[string]func() []any // the bodies of the answers to a question, by its subject
	stop    chan struct{}           // closed by Stop
	task    sync.WaitGroup          // the goroutine that answers
}

// Start subscribes, and answers until Stop.
func Start(nc *nats.Conn, services []Service) (*Responder, error) {
	r := &Responder{
		nc: nc, services: services, started: time.Now().UTC(),
		inbox: make(chan *nats.Msg, backlog), answers: make(map[string]func() []any), stop: make(chan struct{}),
	}
	r.route(micro.PingVerb, r.ping)
	r.route(micro.InfoVerb, r.info)
	r.route(micro.StatsVerb, r.stats)
	for i, subject := range slices.Sorted(maps.Keys(r.answers)) {
		sub, err := nc.ChanSubscribe(subject, r.inbox)
		if err == nil {
			r.subs = append(r.subs, sub)
			if i == 0 {
				err = permitted(nc)
			}
		}
		if err != nil {
			r.unsubscribe()
			return nil, fmt.Errorf("%s: %w", subject, err)
		}
	}
	if err := nc.FlushTimeout(flushTimeout); err != nil {
		r.unsubscribe()
		return nil, err
	}
	r.task.Go(r.run)
	return r, nil
}

// permitted returns the error with which NATS has refused the first subscription, if it
// has, so that NATS need not refuse all of them.
func permitted(nc *nats.Conn) error {
	if err := nc.FlushTimeout(flushTimeout); err != nil {
		return err
	}
	last := nc.LastError()
	if errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+micro.APIPrefix+".") {
		return last
	}
	return nil
}

// Stop ends the answers.
func (r *Responder) Stop() {
	r.unsubscribe()
	close(r.stop)
	r.task.Wait()
}

func (r *Responder) unsubscribe() {
	for _, sub := range r.subs {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
}

// route sets the answers on the three kinds of subjects of a verb: that of all services,
// that of a service, and that of an instance of a service.
func (r *Responder) route(verb micro.Verb, answer func(*Service) any) {
	var all []func() any
	add := func(name, id string, f ...func() any) {
		subject, err := micro.ControlSubject(verb, name, id)
		if err != nil {
			return // fails only for an unknown verb
		}
		r.answers[subject] = func() []any {
			list := make([]any, 0, len(f))
			for _, g := range f {
				list = append(list, g())
			}
			return list
		}
	}
	for i := range r.services {
		s := &r.services[i]
		f := func() any { return answer(s) }
		all = append(all, f)
		add(s.Name, "", f)
		add(s.Name, s.ID, f)
	}
	add("", "", all...)
}

// run answers until Stop.
func (r *Responder) run() {
	for {
		select {
		case <-r.stop:
			return
		case msg := <-r.inbox:
			answer := r.answers[msg.Subject]
			if answer == nil || msg.Reply == "" {
				continue
			}
			for _, body := range answer() {
				r.send(msg.Reply, body)
			}
		}
	}
}

// send sends an answer. A tool counts the answers that it gets.
func (r *Responder) send(reply string, body any) {
	data, err := json.Marshal(body)
	if info, ok := body.(micro.Info); ok && int64(len(data)) > r.nc.MaxPayload() {
		data, err = json.Marshal(undescribed(&info))
	}
	if err == nil {
		_ = r.nc.Publish(reply, data)
	}
}

func identity(s *Service) micro.ServiceIdentity {
	return micro.ServiceIdentity{Name: s.Name, ID: s.ID, Version: s.Version, Metadata: s.Metadata}
}

func (r *Responder) ping(s *Service) any {
	return micro.Ping{ServiceIdentity: identity(s), Type: micro.PingResponseType}
}

func (r *Responder) info(s *Service) any {
	info := micro.Info{ServiceIdentity: identity(s), Type: micro.InfoResponseType, Description: s.Description, Endpoints: []micro.EndpointInfo{}}
	for _, e := range s.Endpoints {
		info.Endpoints = append(info.Endpoints, micro.EndpointInfo{
			Name: e.Name, Subject: e.Subject, QueueGroup: e.Queue, Metadata: e.Metadata,
		})
	}
	return info
}

func (r *Responder) stats(s *Service) any {
	stats := micro.Stats{
		ServiceIdentity: identity(s), Type: micro.StatsResponseType, Started: r.started, Endpoints: []*micro.EndpointStats{},
	}
	for _, e := range s.Endpoints {
		now := e.Stats()
		one := &micro.EndpointStats{
			Name: e.Name, Subject: e.Subject, QueueGroup: e.Queue,
			NumRequests: int(now.Requests), NumErrors: int(now.Errors), LastError: now.LastError,
			ProcessingTime: now.Processing, Data: now.Data,
		}
		if now.Requests > 0 {
			one.AverageProcessingTime = now.Processing / time.Duration(now.Requests)
		}
		stats.Endpoints = append(stats.Endpoints, one)
	}
	return stats
}
