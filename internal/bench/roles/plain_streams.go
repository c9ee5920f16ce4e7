package roles

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
)

// The contender of streams: whoever has the messages publishes them, whoever
// wants them subscribes.

const (
	plainPull = "plain.pull"
	plainPush = "plain.push"
)

func startPlainSource(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	_, err = nc.Subscribe(plainPull, func(msg *nats.Msg) {
		var req benchv1.PullRequest
		if proto.Unmarshal(msg.Data, &req) == nil { // else the reader misses something
			plainPublish(nc, msg.Reply, &req)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	received := uint64(0)
	sink, err := nc.Subscribe(plainPush, func(msg *nats.Msg) {
		var req benchv1.PushRequest
		if proto.Unmarshal(msg.Data, &req) == nil && req.GetNumber() == received+1 {
			received++
		}
		if msg.Reply != "" { // the last one
			_ = msg.Respond(strconv.AppendUint(nil, received, 10))
			received = 0
		}
	})
	if err == nil {
		err = errors.Join(sink.SetPendingLimits(-1, -1), nc.Flush())
	}
	return map[string]child.Op{}, nc.Close, err
}

func plainPublish(nc *nats.Conn, subject string, req *benchv1.PullRequest) {
	res := &benchv1.PullResponse{Text: req.GetText()}
	var data []byte
	for n := range req.GetMessages() {
		res.Number = n + 1
		data, _ = proto.MarshalOptions{}.MarshalAppend(data[:0], res)
		_ = nc.Publish(subject, data) // the reader counts
	}
	_ = nc.Flush()
}

func startPlainReader(url string) (map[string]child.Op, func(), error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	return map[string]child.Op{
		OpPull: flowOp(func(o child.Flow) error { return plainPullAll(nc, o) }),
		OpPush: flowOp(func(o child.Flow) error { return plainPushAll(nc, o) }),
	}, nc.Close, nil
}

func plainPullAll(nc *nats.Conn, o child.Flow) error {
	done := make(chan error, 1)
	n := uint64(0)
	inbox := nc.NewInbox()
	sub, err := nc.Subscribe(inbox, func(msg *nats.Msg) {
		res := new(benchv1.PullResponse)
		if err := proto.Unmarshal(msg.Data, res); err != nil || res.GetNumber() != n+1 {
			done <- fmt.Errorf("message %d has number %d: %w", n+1, res.GetNumber(), err)
			return
		}
		if n++; n == o.Messages {
			done <- nil
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	data, err := proto.Marshal(&benchv1.PullRequest{Messages: o.Messages, Text: textOf(o)})
	if err != nil {
		return err
	}
	if err := nc.PublishRequest(plainPull, inbox, data); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-time.After(missingAfter):
		return errors.New("messages are missing")
	}
}

func plainPushAll(nc *nats.Conn, o child.Flow) error {
	req := &benchv1.PushRequest{Text: textOf(o)}
	var data []byte
	for n := range o.Messages - 1 {
		req.Number = n + 1
		data, _ = proto.MarshalOptions{}.MarshalAppend(data[:0], req)
		if err := nc.Publish(plainPush, data); err != nil {
			return err
		}
	}
	req.Number = o.Messages
	data, _ = proto.MarshalOptions{}.MarshalAppend(data[:0], req)
	msg, err := nc.Request(plainPush, data, missingAfter)
	if err == nil && string(msg.Data) != strconv.FormatUint(o.Messages, 10) {
		err = fmt.Errorf("%s of %d messages came", msg.Data, o.Messages)
	}
	return err
}
