package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	paymentsv1 "github.com/aegisrpc/aegis/examples/payments/gen/payments/v1"
)

// Store keeps the payments.
type Store interface {
	// All returns all payments, and the sequence of the last write.
	All(ctx context.Context) (payments []*paymentsv1.Payment, last uint64, err error)
	// Append stores a payment if the sequence of the last write is last, and returns its
	// own; else it returns ErrBehind. So only a leader can write that knows everything
	// before, however late its write arrives: that is the fencing.
	Append(ctx context.Context, p *paymentsv1.Payment, last uint64) (sequence uint64, err error)
	// Get returns a payment; nil if there is none.
	Get(ctx context.Context, id string) (*paymentsv1.Payment, error)
}

// ErrBehind says that somebody has written since.
var ErrBehind = errors.New("another write came first")

const bucket = "payments"

// natsStore keeps each payment under its id in a key-value bucket of NATS.
type natsStore struct {
	js jetstream.JetStream
	kv jetstream.KeyValue
}

// NewStore returns a store in NATS, and makes it if it does not exist.
func NewStore(ctx context.Context, nc *nats.Conn) (Store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket})
	if err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", bucket, err)
	}
	return &natsStore{js, kv}, nil
}

func (s *natsStore) All(ctx context.Context) (payments []*paymentsv1.Payment, last uint64, err error) {
	watcher, err := s.kv.WatchAll(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case entry := <-watcher.Updates():
			if entry == nil { // that was all
				return payments, last, nil
			}
			p := &paymentsv1.Payment{}
			if err := proto.Unmarshal(entry.Value(), p); err != nil {
				return nil, 0, fmt.Errorf("payment %s: %w", entry.Key(), err)
			}
			payments, last = append(payments, p), entry.Revision()
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

func (s *natsStore) Append(ctx context.Context, p *paymentsv1.Payment, last uint64) (uint64, error) {
	data, err := proto.Marshal(p)
	if err != nil {
		return 0, err
	}
	ack, err := s.js.Publish(ctx, "$KV."+bucket+"."+p.GetId(), data, jetstream.WithExpectLastSequence(last))
	if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return 0, ErrBehind
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (s *natsStore) Get(ctx context.Context, id string) (*paymentsv1.Payment, error) {
	entry, err := s.kv.Get(ctx, id)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey):
		return nil, nil //nolint:nilnil // as Store says
	case err != nil:
		return nil, err
	}
	p := &paymentsv1.Payment{}
	return p, proto.Unmarshal(entry.Value(), p)
}
