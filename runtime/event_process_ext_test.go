//go:build unix

package aegis_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const handledSubject = "test.handled"

// helperSubscriber tells what it has handled.
func helperSubscriber(ctx context.Context, conn *aegis.Conn) error {
	told := make(chan struct{})
	srv, err := aegis.NewServer(conn, aegis.WithInstance(os.Getenv(helperInstance)), aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			fmt.Println("running")
			close(told)
		}
	}))
	if err != nil {
		return err
	}
	tell := func(what string) error {
		<-time.After(time.Millisecond)
		if err := conn.NATS().Publish(handledSubject, []byte(what)); err != nil {
			return err
		}
		if err := conn.NATS().Flush(); err != nil {
			return err
		}
		if what == "kills" {
			<-told // the work may begin before
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	err = aegistestv1aegis.SubscribeEventServiceEvents(srv, handlers{
		Stored: func(_ context.Context, ev *testv1.StoredRequest) error { return tell(ev.GetText()) },
		Keyed: func(_ context.Context, ev *testv1.KeyedRequest) error {
			return tell(ev.GetKey() + " " + strconv.FormatInt(ev.GetNumber(), 10))
		},
	}, aegis.Compete("workers"), aegis.StartFrom(aegis.StartAll()))
	if err != nil {
		return err
	}
	return srv.Run(ctx)
}

// handledSet is what subscribers in other processes have told, each thing when
// it was told for the first time.
type handledSet struct {
	mu    sync.Mutex
	order []string
	seen  map[string]int
}

func watchHandled(t *testing.T, conn *aegis.Conn) *handledSet {
	t.Helper()
	h := &handledSet{seen: map[string]int{}}
	nc := plain(t, conn)
	_, err := nc.Subscribe(handledSubject, func(msg *nats.Msg) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.seen[string(msg.Data)]++; h.seen[string(msg.Data)] == 1 {
			h.order = append(h.order, string(msg.Data))
		}
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	return h
}

func (h *handledSet) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.order)
}

// beginning counts what was told that begins so, each time.
func (h *handledSet) beginning(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for what, times := range h.seen {
		if strings.HasPrefix(what, prefix) {
			n += times
		}
	}
	return n
}

// One event among others ends each process that handles it, and those that were
// held ahead with it lose nothing by that.
func TestEventThatEndsItsInstancesTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	handled := watchHandled(t, conn)
	pub := newPublisher(t, conn)
	const all = 400
	for i := range all {
		text := "e" + strconv.Itoa(i)
		if i == 200 {
			text = "kills"
		}
		mustStore(t, pub, text)
	}
	for range 3 {
		killed := startProcess(t, "subscriber", url, "s")
		require.Error(t, receive(t, "it is dead", killed.ended))
	}
	startProcess(t, "subscriber", url, "s")
	eventually(t, "all are handled", func() bool { return handled.count() == all })
	eventually(t, "one is dead", func() bool { return len(deadLetters(t, conn, "aegistest.v1.EventService")) > 0 })
	settled(t, conn, "g-workers-Stored")
	dead := deadLetters(t, conn, "aegistest.v1.EventService")
	require.Len(t, dead, 1)
	require.Equal(t, 3, dead[0].Attempts)
	require.Equal(t, 3, handled.beginning("kills"))
}

func TestNoEventIsLostWhenSubscribersAreKilled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	handled := watchHandled(t, conn)
	workers := []*process{startProcess(t, "subscriber", url, "a"), startProcess(t, "subscriber", url, "b")}
	const each, keys = 1000, 5
	pub := newPublisher(t, conn)
	publishing := async(func() (any, error) {
		for i := range each {
			if _, err := pub.Stored(t.Context(), stored(strconv.Itoa(i))); err != nil {
				return nil, err
			}
			ev := &testv1.KeyedRequest{Key: "k" + strconv.Itoa(i%keys), Number: int64(i / keys)}
			if _, err := pub.Keyed(t.Context(), ev); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	for i, at := range []int{200, 700, 1200} {
		eventually(t, "some are handled", func() bool { return handled.count() > at })
		victim := workers[i]
		victim.signal(t, syscall.SIGKILL)
		require.Error(t, receive(t, "it is dead", victim.ended))
		workers = append(workers, startProcess(t, "subscriber", url, "c"+strconv.Itoa(i)))
	}
	require.NoError(t, receive(t, "all are published", publishing).err)
	eventually(t, "all are handled", func() bool { return handled.count() == 2*each })
	// The order of each key, by the first time.
	last := map[string]int{}
	twice := 0
	for _, what := range handled.order {
		twice += handled.seen[what] - 1
		var key string
		var n int
		if _, err := fmt.Sscanf(what, "%s %d", &key, &n); err == nil {
			require.Equal(t, last[key], n, key)
			last[key] = n + 1
		}
	}
	require.Empty(t, deadLetters(t, conn, "aegistest.v1.EventService"))
	t.Logf("%d events, none lost, %d handled again", 2*each, twice)
}
