package members

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
)

func TestSharesAreEvenAndWhole(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 20; n++ {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("member-%d", i))
		}
		owned := map[int]int{}
		for _, m := range all {
			own := Share(all, m, 16)
			if most := (16 + n - 1) / n; len(own) > most {
				t.Errorf("%s of %d has %d partitions, more than %d", m, n, len(own), most)
			}
			for _, p := range own {
				owned[p]++
			}
		}
		for p := range 16 {
			if owned[p] != 1 {
				t.Errorf("with %d members partition %d has %d owners", n, p, owned[p])
			}
		}
	}
}

func TestFewPartitionsMove(t *testing.T) {
	t.Parallel()
	const partitions = 64
	all := []string{"a", "b", "c", "d"}
	owner := func(all []string) map[int]string {
		owners := map[int]string{}
		for _, m := range all {
			for _, p := range Share(all, m, partitions) {
				owners[p] = m
			}
		}
		return owners
	}
	before, after := owner(all), owner(slices.Delete(slices.Clone(all), 1, 2))
	moved := 0
	for p := range partitions {
		if before[p] != after[p] {
			moved++
		}
	}
	if moved > partitions/2 { // a quarter has to
		t.Errorf("%d of %d partitions moved when one of four members left", moved, partitions)
	}
}

func TestNobodySharesNothing(t *testing.T) {
	t.Parallel()
	if own := Share(nil, "a", 4); own != nil {
		t.Error(own)
	}
}

// What a member does because of others may take long, and somebody who stops does
// not wait for it longer than he likes.
func TestLeavingWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	server, err := embednats.Start(embednats.Options{})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	nc, err := nats.Connect(server.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	gone := make(chan *nats.Msg, 1)
	sub, err := nc.Subscribe("group", func(msg *nats.Msg) {
		if strings.Contains(string(msg.Data), `"gone":true`) {
			gone <- msg
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	busy, hold := make(chan struct{}), make(chan struct{})
	g, err := Join(nc, "group", "self", func([]string) {
		close(busy)
		<-hold
	})
	require.NoError(t, err)
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Leave(ctx)
	require.Empty(t, gone)
	close(hold)
	<-gone // it says so when it can
}
