package stores

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Consumer is a consumer that exists.
type Consumer struct {
	Stream, Name string
	AckWait      time.Duration // its own, whatever was wanted
	Floor        uint64        // everything up to it was acknowledged, or came before the start

	// What one request may ask for, and how many may wait; 0: any.
	MaxBatch   int
	MaxExpires time.Duration
	MaxWaiting int
}

// Consumer finds the consumer, or makes it. Where it starts counts only when it
// is made.
func (s *Stores) Consumer(ctx context.Context, stream string, want jetstream.ConsumerConfig, p Policy) (Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	what := "the consumer " + want.Name + " of the stream " + stream
	c, err := s.js.Consumer(ctx, stream, want.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if !p.Create {
			return Consumer{}, fmt.Errorf("%s %w and may not be made here; make it as a pull consumer with explicit acknowledgement, "+
				"max_deliver -1, ack_wait %v, max_ack_pending %d and the filter %v", what, ErrMissing, want.AckWait, want.MaxAckPending, filters(want))
		}
		c, err = s.js.CreateConsumer(ctx, stream, want)
		if errors.Is(err, jetstream.ErrConsumerExists) { // somebody was faster, with another start
			c, err = s.js.Consumer(ctx, stream, want.Name)
		}
	}
	if err != nil {
		return Consumer{}, s.explain(what, err)
	}
	have := c.CachedInfo().Config
	if err := fits(what, have, want); err != nil {
		return Consumer{}, err
	}
	ackWait := have.AckWait
	if text := consumerDifferences(have, want); text != "" {
		if !p.Update {
			p.Warn(what + " exists with other settings, which stay: " + text)
		} else {
			next := have
			next.AckWait, next.MaxAckPending = want.AckWait, want.MaxAckPending
			if _, err := s.js.UpdateConsumer(ctx, stream, next); err != nil {
				return Consumer{}, s.explain(what+" cannot be changed", err)
			}
			ackWait = next.AckWait
		}
	}
	return Consumer{
		Stream: stream, Name: want.Name, AckWait: ackWait, Floor: c.CachedInfo().AckFloor.Stream,
		MaxBatch: have.MaxRequestBatch, MaxExpires: have.MaxRequestExpires, MaxWaiting: have.MaxWaiting,
	}, nil
}

// fits refuses what would lose, skip or disorder messages.
func fits(what string, have, want jetstream.ConsumerConfig) error {
	differs := func(setting string, has, needs any) error {
		return fmt.Errorf("%s %w: its %s is %v, and %v is needed; delete the consumer, and it is made anew", what, ErrDifferent, setting, has, needs)
	}
	switch {
	case !slices.Equal(filters(have), filters(want)):
		return differs("filter", filters(have), filters(want))
	case have.AckPolicy != want.AckPolicy:
		return differs("ack_policy", have.AckPolicy, want.AckPolicy)
	case have.MaxDeliver > 0:
		return differs("max_deliver", have.MaxDeliver, -1)
	case have.PriorityPolicy != jetstream.PriorityPolicyNone:
		return differs("priority_policy", policyName(have.PriorityPolicy), "none")
	case (have.MaxAckPending == 1) != (want.MaxAckPending == 1):
		return differs("max_ack_pending", have.MaxAckPending, want.MaxAckPending)
	}
	return nil
}

// policyName is what it is called in the settings of a consumer.
func policyName(p jetstream.PriorityPolicy) string {
	text, err := p.MarshalJSON()
	if err != nil {
		return strconv.Itoa(int(p))
	}
	return strings.Trim(string(text), `"`)
}

func filters(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

func consumerDifferences(have, want jetstream.ConsumerConfig) string {
	text := ""
	if have.AckWait != want.AckWait {
		text = fmt.Sprintf("ack_wait is %v in place of %v", have.AckWait, want.AckWait)
	}
	if have.MaxAckPending != want.MaxAckPending {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("max_ack_pending is %d in place of %d", have.MaxAckPending, want.MaxAckPending)
	}
	return text
}

// Floor returns the sequence up to which everything was acknowledged.
func (s *Stores) Floor(ctx context.Context, stream, consumer string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c, err := s.js.Consumer(ctx, stream, consumer)
	if err != nil {
		return 0, err
	}
	return c.CachedInfo().AckFloor.Stream, nil
}
