package epochs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/wire"
)

// model is a stream with one event, and the consumers of one group. Its instances do one step
// at a time, in any order.
type model struct {
	t        *testing.T
	history  History
	messages []message // the sequence is the index + 1
	// consumers is by epoch and partition; the value is the floor.
	consumers map[[2]int]uint64
	start     jetstream.DeliverPolicy
	handled   map[string][]uint64 // by key
}

type message struct {
	key              string
	epoch, partition int
}

func (m *model) Find(_ context.Context, epoch, p int) (*Consumer, error) {
	floor, ok := m.consumers[[2]int{epoch, p}]
	if !ok {
		return nil, nil
	}
	return &Consumer{Config: jetstream.ConsumerConfig{DeliverPolicy: m.start}, Floor: floor}, nil
}

func (m *model) Last(_ context.Context, epoch, p int) (uint64, error) {
	for i, msg := range slices.Backward(m.messages) {
		if msg.epoch == epoch && msg.partition == p {
			return uint64(i + 1), nil
		}
	}
	return 0, nil
}

func (m *model) Begins(_ context.Context, epoch int) (bool, error) {
	for _, msg := range m.messages {
		if m.start == jetstream.DeliverAllPolicy && msg.epoch == epoch {
			return true, nil
		}
	}
	return false, nil
}

func (m *model) publish(key string) {
	epoch, n := m.history.Last(), m.history.Now()
	m.messages = append(m.messages, message{key, epoch, wire.Partition(wire.KeyHash(key), n)})
}

// instance is one instance of the group.
type instance struct {
	walk  Walk
	epoch int // -1: it has not started
}

// step does one thing, or what an instance does between two requests to NATS.
func (m *model) step(i *instance, choose *rand.Rand) {
	ctx := m.t.Context()
	switch {
	case i.epoch < 0:
		var err error
		i.epoch, err = i.walk.Locate(ctx, m.history)
		require.NoError(m.t, err)
	case choose.IntN(8) == 0: // it is killed, and another one starts
		*i = instance{walk: Walk{Consumers: m}, epoch: -1}
	case choose.IntN(4) == 0:
		next, err := i.walk.Advance(ctx, m.history, i.epoch)
		require.NoError(m.t, err)
		i.epoch = next
	case choose.IntN(16) == 0:
		m.remove(i.epoch)
	default:
		m.work(i.epoch, choose.IntN(m.history.Numbers[i.epoch]))
	}
}

// work makes the consumer of a partition, or handles the next message of it.
func (m *model) work(epoch, p int) {
	at := [2]int{epoch, p}
	floor, ok := m.consumers[at]
	if !ok {
		if beyond, _ := (&Walk{Consumers: m}).Beyond(m.t.Context(), m.history, epoch); beyond {
			return
		}
		before, _ := (&Walk{Consumers: m}).Before(m.t.Context(), m.history, epoch)
		want := jetstream.ConsumerConfig{DeliverPolicy: m.start}
		if before != nil {
			want = before.From(want)
		}
		if want.DeliverPolicy == jetstream.DeliverNewPolicy {
			floor = uint64(len(m.messages))
		}
		m.consumers[at] = floor
		return
	}
	for i := int(floor); i < len(m.messages); i++ {
		if msg := m.messages[i]; msg.epoch == epoch && msg.partition == p {
			m.handled[msg.key] = append(m.handled[msg.key], uint64(i+1))
			m.consumers[at] = uint64(i + 1)
			return
		}
	}
}

// remove removes the consumers of former epochs, some of them if it is interrupted.
func (m *model) remove(epoch int) {
	w := Walk{Consumers: m}
	if all, _ := w.Complete(m.t.Context(), m.history, epoch); !all {
		return
	}
	for former := range epoch {
		for p := range m.history.Numbers[former] {
			delete(m.consumers, [2]int{former, p})
		}
	}
}

// Whatever instances do in whatever order, and wherever they are killed, the events of each key
// are handled in the order in which they were stored, and all of them.
func TestKeysKeepTheirOrderWhateverInstancesDo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		choose := rand.New(rand.NewPCG(seed, 1))
		m := &model{
			t: t, history: History{Numbers: []int{4}}, consumers: map[[2]int]uint64{},
			start: jetstream.DeliverAllPolicy, handled: map[string][]uint64{},
		}
		instances := []*instance{{Walk{Consumers: m}, -1}, {Walk{Consumers: m}, -1}, {Walk{Consumers: m}, -1}}[:1+choose.IntN(3)]
		changes := []int{3, 7, 1}
		for range 400 {
			switch choose.IntN(10) {
			case 0, 1:
				m.publish(fmt.Sprint("k", choose.IntN(5)))
			case 2:
				if len(changes) > 0 && choose.IntN(12) == 0 {
					m.history, changes = m.history.Then(changes[0]), changes[1:]
				}
			default:
				m.step(instances[choose.IntN(len(instances))], choose)
			}
		}
		total := func() (n int) {
			for _, of := range m.handled {
				n += len(of)
			}
			return n
		}
		for range 100_000 { // all are handled in the end
			if total() >= len(m.messages) {
				break
			}
			m.step(instances[choose.IntN(len(instances))], choose)
		}
		require.Equal(t, len(m.messages), total(), "seed %d", seed)
		stored := map[string][]uint64{}
		for i, msg := range m.messages {
			stored[msg.key] = append(stored[msg.key], uint64(i+1))
		}
		require.Equal(t, stored, m.handled, "seed %d", seed)
	}
}

// A group that began with new events, was away during a change, and comes back, misses nothing.
func TestGroupThatWasAwayBeginsWithAllOfTheNextEpoch(t *testing.T) {
	t.Parallel()
	for _, policy := range []jetstream.DeliverPolicy{jetstream.DeliverNewPolicy, jetstream.DeliverAllPolicy} {
		c := Consumer{Config: jetstream.ConsumerConfig{DeliverPolicy: policy}}
		require.Equal(t, jetstream.DeliverAllPolicy, c.From(jetstream.ConsumerConfig{}).DeliverPolicy)
	}
	c := Consumer{Config: jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 7}}
	require.Equal(t, c.Config, c.From(jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}))
}

func TestHistoryIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	h := History{Numbers: []int{16}}
	for _, step := range []struct {
		h    History
		text string
	}{
		{h.Closing(32), "16 32?"},
		{h.Then(32), "16 32"},
		{h.Then(32).Closing(8), "16 32 8?"},
	} {
		metadata := map[string]string{}
		step.h.Put(metadata, "E")
		require.Equal(t, step.text, metadata[wire.EpochsKey("E")])
		again, ok := Of(metadata, "E")
		require.True(t, ok)
		require.Equal(t, step.h, again)
	}
	h, ok := Of(map[string]string{wire.PartitionsKey("E"): "16"}, "E")
	require.True(t, ok)
	require.Equal(t, History{Numbers: []int{16}}, h)
	for _, bad := range []string{"x", "0", "16 1025", "16? 32", "16?", "-1"} {
		_, ok := Of(map[string]string{wire.EpochsKey("E"): bad}, "E")
		require.False(t, ok, bad)
	}
}
