package roles

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/bench/child"
)

// The contender of large messages: as many bytes, in messages that NATS takes.

const (
	plainReply   = "plain.reply"
	plainRequest = "plain.request"
)

func startPlainLarge(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	_, err = nc.Subscribe(plainReply, func(msg *nats.Msg) {
		var o child.Flow
		if json.Unmarshal(msg.Data, &o) != nil {
			return // the reader misses something
		}
		data := make([]byte, o.Bytes)
		for range o.Messages {
			_ = nc.Publish(msg.Reply, data) // the reader counts
		}
		_ = nc.Flush()
	})
	if err != nil {
		return nil, nil, err
	}
	received := 0
	sink, err := nc.Subscribe(plainRequest, func(msg *nats.Msg) {
		received += len(msg.Data)
		if msg.Reply != "" { // the last one
			_ = msg.Respond(strconv.AppendInt(nil, int64(received), 10))
			received = 0
		}
	})
	if err == nil {
		err = errors.Join(sink.SetPendingLimits(-1, -1), nc.Flush())
	}
	return map[string]child.Op{}, nc.Close, err
}

func startPlainTaker(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	return map[string]child.Op{
		OpReply:   flowOp(func(o child.Flow) error { return plainTakeAll(nc, o) }),
		OpRequest: flowOp(func(o child.Flow) error { return plainGiveAll(nc, o) }),
	}, nc.Close, nil
}

func plainTakeAll(nc *nats.Conn, o child.Flow) error {
	done := make(chan struct{})
	left := o.Bytes * int(o.Messages)
	inbox := nc.NewInbox()
	sub, err := nc.Subscribe(inbox, func(msg *nats.Msg) {
		if left -= len(msg.Data); left == 0 {
			close(done)
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	order, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := nc.PublishRequest(plainReply, inbox, order); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-time.After(missingAfter):
		return errors.New("messages are missing")
	}
}

func plainGiveAll(nc *nats.Conn, o child.Flow) error {
	data := make([]byte, o.Bytes)
	for range o.Messages - 1 {
		if err := nc.Publish(plainRequest, data); err != nil {
			return err
		}
	}
	msg, err := nc.Request(plainRequest, data, missingAfter)
	if want := strconv.Itoa(o.Bytes * int(o.Messages)); err == nil && string(msg.Data) != want {
		err = fmt.Errorf("%s of %s bytes came", msg.Data, want)
	}
	return err
}
