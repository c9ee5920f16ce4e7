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

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// Consumer is a consumer that exists.
type Consumer struct {
	Stream, Name string
	AckWait      time.Duration // of the consumer as it is
	Floor        uint64        // all messages up to this sequence were acknowledged, or came before the start

	// The limits of one request, and of how many requests may wait; 0: no limit.
	MaxBatch   int
	MaxExpires time.Duration
	MaxWaiting int
}

// Consumer finds a consumer of a stream, or makes it. Where it starts counts only when it
// is made. If the account, the NATS servers or the stream allow less than is wanted, the
// consumer is made with what they allow, and the policy's Warn hears of it.
func (s *Stores) Consumer(ctx context.Context, stream string, want jetstream.ConsumerConfig, p Policy) (Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	what := "the consumer " + want.Name + " of the stream " + stream
	if most, known := s.pending.Load(what); known && want.MaxAckPending > 1 {
		want.MaxAckPending = min(want.MaxAckPending, most.(int)) //nolint:forcetypeassert // see below
	}
	c, err := s.consumerInfo(ctx, stream, want.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if !p.Create {
			return Consumer{}, fmt.Errorf("%s %w and may not be made here; make it as a pull consumer with explicit acknowledgement, "+
				"max_deliver -1, ack_wait %v, max_ack_pending %d and the filter %v", what, ErrMissing, want.AckWait, want.MaxAckPending, filters(want))
		}
		c, err = within(what, &want, p, func() (jetstream.Consumer, error) {
			return peered(ctx, func() (jetstream.Consumer, error) { return s.createConsumer(ctx, stream, want) })
		})
		if errors.Is(err, jetstream.ErrConsumerExists) { // another instance was faster, with another start
			c, err = s.consumerInfo(ctx, stream, want.Name)
		}
		s.pending.Store(what, want.MaxAckPending)
	}
	if err != nil {
		return Consumer{}, s.explain(what, err)
	}
	have := c.CachedInfo().Config
	if err := fits(what, c.CachedInfo(), want); err != nil {
		return Consumer{}, err
	}
	ackWait := have.AckWait
	if text := consumerDifferences(have, want); text != "" {
		if !p.Update {
			p.Warn(what + " exists with other settings, which stay: " + text)
		} else if ackWait, err = s.updateConsumer(ctx, what, stream, have, want, p); err != nil {
			return Consumer{}, s.explain(what+" cannot be changed", err)
		}
	}
	return Consumer{
		Stream: stream, Name: want.Name, AckWait: ackWait, Floor: c.CachedInfo().AckFloor.Stream,
		MaxBatch: have.MaxRequestBatch, MaxExpires: have.MaxRequestExpires, MaxWaiting: have.MaxWaiting,
	}, nil
}

func (s *Stores) updateConsumer(ctx context.Context, what, stream string, have, want jetstream.ConsumerConfig, p Policy) (ackWait time.Duration, err error) {
	have.AckWait, have.MaxAckPending = want.AckWait, want.MaxAckPending
	_, err = within(what, &have, p, func() (jetstream.Consumer, error) {
		ctx, why := s.Allowed(ctx, createConsumer+stream)
		c, err := s.js.UpdateConsumer(ctx, stream, have)
		return c, why(err)
	})
	return have.AckWait, err
}

// createConsumer is the API's operation that makes or changes a consumer of a stream.
const createConsumer = "CONSUMER.CREATE."

func (s *Stores) createConsumer(ctx context.Context, stream string, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, why := s.Allowed(ctx, createConsumer+stream)
	c, err := s.js.CreateConsumer(ctx, stream, want)
	return c, why(err)
}

// consumerInfo returns the consumer as it is.
func (s *Stores) consumerInfo(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	ctx, why := s.Allowed(ctx, "CONSUMER.INFO."+stream+"."+name)
	c, err := s.js.Consumer(ctx, stream, name)
	return c, why(err)
}

// How long the making of a consumer waits for the servers of a stream that was just given
// more replicas: before NATS knows them it makes no consumer.
const (
	peersPause = 100 * time.Millisecond
	peersTries = 20
)

// peered makes a consumer, and tries again until NATS knows the servers of its stream.
func peered(ctx context.Context, try func() (jetstream.Consumer, error)) (jetstream.Consumer, error) {
	for tries := 1; ; tries++ {
		c, err := try()
		if jserror.Code(err) != jserror.Insufficient || tries == peersTries {
			return c, err
		}
		if !bus.Wait(ctx, peersPause) {
			return c, err
		}
	}
}

// within makes or changes a consumer. If the account, the NATS servers or the stream limit
// a number of want, within takes the limit in its place, and warns.
func within(what string, want *jetstream.ConsumerConfig, p Policy, try func() (jetstream.Consumer, error)) (jetstream.Consumer, error) {
	for {
		c, err := try()
		limit := limitOf(err)
		switch code := jserror.Code(err); {
		case code == jserror.MaxAckPending && want.MaxAckPending > 1:
			most, failure := strconv.Atoi(limit)
			if failure != nil || most < 2 || most >= want.MaxAckPending {
				return c, err
			}
			p.Warn(fmt.Sprintf("%s may have %d messages under way, and not %d: the account, the NATS servers or the stream limit max_ack_pending; "+
				"messages that wait for their next attempt count as well", what, most, want.MaxAckPending))
			want.MaxAckPending = most
		case code == jserror.InactiveThreshold:
			most, failure := time.ParseDuration(limit)
			if failure != nil || most <= 0 || most >= want.InactiveThreshold {
				return c, err
			}
			p.Warn(fmt.Sprintf("%s is forgotten after %v without its instance, and not after %v: the stream limits inactive_threshold",
				what, most, want.InactiveThreshold))
			want.InactiveThreshold = most
		default:
			return c, err
		}
	}
}

// limitOf returns the limit that a refusal names as its last word.
func limitOf(err error) string {
	if err == nil {
		return ""
	}
	words := strings.Fields(err.Error())
	return strings.Trim(words[len(words)-1], `."'`)
}

// fits returns an error if a consumer that exists would lose, skip or disorder messages.
func fits(what string, info *jetstream.ConsumerInfo, want jetstream.ConsumerConfig) error {
	have := info.Config
	differs := func(setting string, has, needs any, flag string) error {
		way := fmt.Sprintf("change it with nats consumer edit %s %s %s", info.Stream, info.Name, flag)
		if flag == "" {
			way = fmt.Sprintf("NATS cannot change it: let it be handled to its end, then remove the consumer (nats consumer rm %s %s), and it is made anew; "+
				"aegis.StartFrom(aegis.StartSequence(%d)) goes on where it is now", info.Stream, info.Name, info.AckFloor.Stream+1)
		}
		return fmt.Errorf("%s %w: its %s is %v, and %v is needed; %s", what, ErrDifferent, setting, has, needs, way)
	}
	switch {
	case !slices.Equal(filters(have), filters(want)):
		return differs("filter", filters(have), filters(want), "--filter "+strings.Join(filters(want), ","))
	case have.AckPolicy != want.AckPolicy:
		return differs("ack_policy", have.AckPolicy, want.AckPolicy, "")
	case have.MaxDeliver > 0:
		return differs("max_deliver", have.MaxDeliver, -1, "--max-deliver=-1")
	case have.PriorityPolicy != jetstream.PriorityPolicyNone:
		return differs("priority_policy", policyName(have.PriorityPolicy), "none", "")
	case (have.MaxAckPending == 1) != (want.MaxAckPending == 1):
		return differs("max_ack_pending", have.MaxAckPending, want.MaxAckPending, fmt.Sprintf("--max-pending=%d", want.MaxAckPending))
	}
	return nil
}

// policyName returns the name of a policy as the settings of a consumer have it.
func policyName(p jetstream.PriorityPolicy) string {
	text, err := p.MarshalJSON()
	if err != nil {
		return strconv.Itoa(int(p))
	}
	return strings.Trim(string(text), `"`)
}

// filters returns the subjects that a consumer takes of its stream.
func filters(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// consumerDifferences names the settings that differ and can be changed; "" if none do.
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

// Floor returns the sequence up to which all messages of a consumer were acknowledged.
func (s *Stores) Floor(ctx context.Context, stream, consumer string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	c, err := s.consumerInfo(ctx, stream, consumer)
	if err != nil {
		return 0, err
	}
	return c.CachedInfo().AckFloor.Stream, nil
}

// DeleteConsumer deletes a consumer. It is no error if there is none.
func (s *Stores) DeleteConsumer(ctx context.Context, stream, name string) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	asking, why := s.Allowed(ctx, "CONSUMER.DELETE."+stream)
	err := why(s.js.DeleteConsumer(asking, stream, name))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}
