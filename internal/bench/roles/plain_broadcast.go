package roles

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/load"
)

// plainAll is the subject of the hand-written broadcast.
const plainAll = "plain.all"

// startPlainAll runs as many subscribers, each with a connection of its own.
func startPlainAll(url string) (map[string]child.Op, func(), error) {
	var conns []*nats.Conn
	stop := func() {
		for _, nc := range conns {
			nc.Close()
		}
	}
	for number := range AllInstances {
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

// startPlainAsker is the role of the hand-written asker. It knows in advance how many
// replies come, which nobody could tell it.
func startPlainAsker(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	ask := func(struct{}) (*TellResult, error) {
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			return nil, err
		}
		defer func() { _ = sub.Unsubscribe() }()
		start := time.Now()
		if err := nc.PublishRequest(plainAll, inbox, []byte(load.Padded(""))); err != nil {
			return nil, err
		}
		for range AllInstances {
			if _, err := sub.NextMsg(load.CallTimeout); err != nil {
				return nil, err
			}
		}
		took := time.Since(start)
		return &TellResult{Slowest: took, End: took}, nil
	}
	return map[string]child.Op{OpTell: child.Typed(ask)}, nc.Close, nil
}
