package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// When a broadcast ends, against when its slowest reply comes.

const (
	opTell = "tell"

	allInstances = 50
	plainAll     = "plain.all"
)

// allTime is what the instance of a number takes: each another time, so that the
// replies do not come at once.
func allTime(number int) time.Duration { return time.Duration(number) * time.Millisecond }

// tellResult is when the last reply of a broadcast had come, and when the caller
// knew that it was the last.
type tellResult struct {
	Slowest time.Duration `json:"slowest"`
	End     time.Duration `json:"end"`
}

type allServer struct {
	benchv1aegis.UnimplementedAllServiceServer
	takes time.Duration
}

func (s allServer) Tell(_ context.Context, req *benchv1.TellRequest) (*benchv1.TellResponse, error) {
	time.Sleep(s.takes)
	return &benchv1.TellResponse{Text: req.GetText()}, nil
}

// startAllServices runs all instances, each with a connection of its own.
func startAllServices(url string) (map[string]child.Op, func(), error) {
	var stops []func()
	stop := func() {
		for _, s := range stops {
			s()
		}
	}
	for number := range allInstances {
		_, end, err := startAegisServer(url, func(srv *aegis.Server) error {
			return benchv1aegis.RegisterAllServiceServer(srv, allServer{takes: allTime(number + 1)})
		})
		if err != nil {
			stop()
			return nil, nil, err
		}
		stops = append(stops, end)
	}
	return map[string]child.Op{}, stop, nil
}

func startAllClient(url string) (map[string]child.Op, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := aegis.Connect(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	client, err := benchv1aegis.NewAllServiceClient(conn, interceptors())
	if err != nil {
		return nil, nil, err
	}
	tell := func(struct{}) (*tellResult, error) { return tellAll(client) }
	return map[string]child.Op{opTell: child.Typed(tell)}, func() { _ = conn.Close(context.Background()) }, nil
}

func tellAll(client benchv1aegis.AllServiceClient) (*tellResult, error) {
	var got tellResult
	replies := 0
	start := time.Now()
	for r := range client.Tell(context.Background(), &benchv1.TellRequest{Text: padded("")}) {
		if r.Err != nil {
			return nil, fmt.Errorf("%s: %w", r.Instance, r.Err)
		}
		replies++
		got.Slowest = time.Since(start)
	}
	got.End = time.Since(start)
	if replies != allInstances {
		return nil, fmt.Errorf("%d of %d instances have answered", replies, allInstances)
	}
	return &got, nil
}

// startPlainAll runs as many subscribers, each with a connection of its own.
func startPlainAll(url string) (map[string]child.Op, func(), error) {
	var conns []*nats.Conn
	stop := func() {
		for _, nc := range conns {
			nc.Close()
		}
	}
	for number := range allInstances {
		nc, err := nats.Connect(url)
		if err != nil {
			stop()
			return nil, nil, err
		}
		conns = append(conns, nc)
		_, err = nc.Subscribe(plainAll, func(msg *nats.Msg) {
			go func() {
				time.Sleep(allTime(number + 1))
				_ = msg.Respond(msg.Data) // the asker counts
			}()
		})
		if err := errors.Join(err, nc.Flush()); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return map[string]child.Op{}, stop, nil
}

// startPlainAsker knows how many replies come, which nobody tells it.
func startPlainAsker(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	ask := func(struct{}) (*tellResult, error) {
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			return nil, err
		}
		defer func() { _ = sub.Unsubscribe() }()
		start := time.Now()
		if err := nc.PublishRequest(plainAll, inbox, []byte(padded(""))); err != nil {
			return nil, err
		}
		for range allInstances {
			if _, err := sub.NextMsg(callTimeout); err != nil {
				return nil, err
			}
		}
		took := time.Since(start)
		return &tellResult{Slowest: took, End: took}, nil
	}
	return map[string]child.Op{opTell: child.Typed(ask)}, nc.Close, nil
}

func broadcastScenario() scenario {
	return scenario{
		name: fmt.Sprintf("broadcast-%d", allInstances),
		about: fmt.Sprintf("A broadcast to %d instances, of which each takes 1 ms longer than the one before; plain publishes a\n"+
			"request and is told in advance how many replies will come.", allInstances),
		run: runBroadcast,
	}
}

func runBroadcast(ctx context.Context, s *settings) (int, error) {
	g := &group{ctx: ctx}
	defer g.stop()
	nats := g.start("nats", "")
	g.start("plain-all", nats.url)
	g.start("all-services", nats.url)
	pair := [2]*process{g.start("plain-asker", nats.url), g.start("all-client", nats.url)}
	if g.err != nil {
		return 0, g.err
	}
	var own, plain, times spread
	for n := range s.warmups + s.rounds {
		var round [2]tellResult
		for i := range pair {
			who := (i + n) % len(pair)
			if err := pair[who].ask(opTell, struct{}{}, callTimeout, &round[who]); err != nil {
				return 0, err
			}
		}
		if n >= s.warmups {
			own = append(own, round[1].End.Seconds()/round[1].Slowest.Seconds())
			plain = append(plain, round[1].End.Seconds()/round[0].Slowest.Seconds())
			times = append(times, millis(round[1].End))
		}
	}
	fmt.Printf("\nThe end came after %v ms.\n\n", times)
	v := newVerdicts(os.Stdout, "broadcast, median (lowest..highest) of the rounds' ratios")
	v.judge("the end / the slowest reply", median(own), own.String(), atMost(1.2))
	v.judge("the end / the slowest reply to plain", median(plain), plain.String(), atMost(1.2))
	return v.done(), nil
}
