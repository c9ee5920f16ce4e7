package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	offerTick = time.Millisecond
	// Settle is how long the last answers may take.
	Settle = CallTimeout
	// The generated client's callers beside the flood, and how often each calls.
	gentleCallers  = 8
	gentleInterval = 10 * time.Millisecond
)

// FloodOrder asks for requests at a rate that does not wait for answers.
type FloodOrder struct {
	Rate int           `json:"rate"` // a second
	Time time.Duration `json:"time"`
}

// Outcomes counts how requests ended.
type Outcomes struct {
	Answered   int           `json:"answered"` // with what was sent
	Refused    int           `json:"refused"`
	Lost       int           `json:"lost"`  // no answer at all
	Wrong      int           `json:"wrong"` // any other
	Example    string        `json:"example"`
	P50Refusal time.Duration `json:"p50_refusal"`
	P99Refusal time.Duration `json:"p99_refusal"`
	P99Answer  time.Duration `json:"p99_answer"`

	refusals, answers figures.Histogram
}

func (o *Outcomes) answer(took time.Duration) { o.Answered++; o.answers.Observe(took) }
func (o *Outcomes) refuse(took time.Duration) { o.Refused++; o.refusals.Observe(took) }

func (o *Outcomes) wrong(example any) {
	o.Wrong++
	o.Example = fmt.Sprint(example)
}

func (o *Outcomes) finish() {
	o.P50Refusal, o.P99Refusal = o.refusals.Quantile(0.5), o.refusals.Quantile(0.99)
	o.P99Answer = o.answers.Quantile(0.99)
}

// FloodResult is what became of the flood, and of the gentle callers beside it.
type FloodResult struct {
	Offered int           `json:"offered"`
	Elapsed time.Duration `json:"elapsed"`
	Flood   Outcomes      `json:"flood"`
	Gentle  Outcomes      `json:"gentle"`
}

// flood is the state of an offer. The n-th request is answered on the reply
// subject that ends in n.
type flood struct {
	nc     *nats.Conn
	prefix string
	start  time.Time
	data   [][]byte        // the marshalled requests, used in turn
	texts  []string        // what is in them
	due    []time.Duration // when each request was due, from the start

	mu  sync.Mutex
	got []bool
	out Outcomes
}

// RunFlood floods a service over nc, and has gentle callers call it by once meanwhile.
func RunFlood(o FloodOrder, nc *nats.Conn, once CallFunc) (*FloodResult, error) {
	f, err := newFlood(nc, int(float64(o.Rate)*o.Time.Seconds()))
	if err != nil {
		return nil, err
	}
	sub, err := nc.Subscribe(f.prefix+"*", f.replied)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	gentle := startGentle(o.Time, once)
	if err := f.offer(o.Rate); err != nil {
		return nil, err
	}
	r := &FloodResult{Offered: len(f.due), Elapsed: time.Since(f.start), Gentle: *<-gentle}
	f.settle()
	r.Flood = f.out
	return r, nil
}

func newFlood(nc *nats.Conn, requests int) (*flood, error) {
	f := &flood{nc: nc, prefix: nc.NewInbox() + ".", due: make([]time.Duration, requests), got: make([]bool, requests)}
	for n := range variety {
		text := Padded(fmt.Sprintf("request %d ", n))
		data, err := proto.Marshal(&echov1.EchoRequest{Text: text})
		if err != nil {
			return nil, err
		}
		f.texts, f.data = append(f.texts, text), append(f.data, data)
	}
	return f, nil
}

// offer sends every millisecond what is due.
func (f *flood) offer(rate int) error {
	subject := wire.NewSubjects(wire.DefaultNamespace).Call(echov1aegis.EchoServiceName, "Echo")
	ticker := time.NewTicker(offerTick)
	defer ticker.Stop()
	f.start = time.Now()
	for n := 0; n < len(f.due); {
		<-ticker.C
		now := time.Since(f.start)
		for ; n < len(f.due) && n < int(now.Seconds()*float64(rate)); n++ {
			f.due[n] = time.Duration(n) * time.Second / time.Duration(rate)
			if err := f.nc.PublishRequest(subject, f.prefix+strconv.Itoa(n), f.data[n%variety]); err != nil {
				return err
			}
		}
	}
	return nil
}

// replied counts from when a request was due, so a client that falls behind
// makes the figures worse.
func (f *flood) replied(msg *nats.Msg) {
	now := time.Since(f.start)
	n, err := strconv.Atoi(msg.Subject[len(f.prefix):])
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || n >= len(f.got) || f.got[n] {
		f.out.wrong("unexpected: " + msg.Subject)
		return
	}
	f.got[n] = true
	took := now - f.due[n]
	var res echov1.EchoResponse
	switch {
	case msg.Header.Get(wire.HeaderReason) == wire.ReasonOverloaded:
		f.out.refuse(took)
	case msg.Header == nil && proto.Unmarshal(msg.Data, &res) == nil && res.GetText() == f.texts[n%variety]:
		f.out.answer(took)
	default:
		f.out.wrong(msg.Header)
	}
}

// settle waits for the last answers.
func (f *flood) settle() {
	for end := time.Now().Add(Settle); ; time.Sleep(offerTick) {
		f.mu.Lock()
		f.out.Lost = len(f.got) - f.out.Answered - f.out.Refused - f.out.Wrong
		lost := f.out.Lost
		f.mu.Unlock()
		if lost <= 0 || time.Now().After(end) {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.finish()
}

// startGentle has some callers of the generated client call now and then.
func startGentle(d time.Duration, once CallFunc) <-chan *Outcomes {
	var mu sync.Mutex
	var callers sync.WaitGroup
	out := &Outcomes{}
	end := time.Now().Add(d)
	for i := range gentleCallers {
		callers.Go(func() {
			for requests := newRequests(i); time.Now().Before(end); time.Sleep(gentleInterval) {
				gentleCall(once, requests[0], &mu, out)
			}
		})
	}
	done := make(chan *Outcomes, 1)
	go func() {
		callers.Wait()
		out.finish()
		done <- out
	}()
	return done
}

func gentleCall(once CallFunc, req *echov1.EchoRequest, mu *sync.Mutex, out *Outcomes) {
	start := time.Now()
	res, err := once(context.Background(), req)
	took := time.Since(start)
	mu.Lock()
	defer mu.Unlock()
	var e *aegis.Error
	switch {
	case err == nil && res.GetText() == req.GetText():
		out.answer(took)
	case errors.As(err, &e) && e.Reason() == aegis.ReasonOverloaded:
		out.refuse(took)
	case errors.As(err, &e) && e.Code() == aegis.CodeDeadlineExceeded:
		out.Lost++
	default:
		out.wrong(err)
	}
}
