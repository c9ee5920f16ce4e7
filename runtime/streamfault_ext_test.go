package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/lossy"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// startFaultyLink is a connection on which frames of streams without headers
// meet with faults.
func startFaultyLink(t *testing.T, target string, decide func(kind byte) lossy.Fate) *lossy.Link {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	l, err := lossy.New(u.Host, time.Millisecond, func(m *lossy.Message) lossy.Fate {
		if m.Headers || !m.OfStream() {
			return lossy.Passed
		}
		return decide(m.Payload[0])
	})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// once meets the nth frame of a kind with a fault.
func once(what lossy.Fate, kind byte, nth int) func(byte) lossy.Fate {
	var mu sync.Mutex
	n := 0
	return func(k byte) lossy.Fate {
		mu.Lock()
		defer mu.Unlock()
		if k == kind {
			n++
			if n == nth {
				return what
			}
		}
		return lossy.Passed
	}
}

// What goes wrong between two processes is noticed by the one that it reaches, or
// does no harm.
func TestFaultsBetweenClientAndServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		atClient, atServer func(byte) lossy.Fate
		code               aegis.Code // of the client's stream; 0: it is whole
	}{
		"a response is lost":          {atClient: once(lossy.Lost, kindData, 20), code: aegis.CodeDataLoss},
		"the last response is lost":   {atClient: once(lossy.Lost, kindData, 100), code: aegis.CodeDataLoss},
		"a response comes twice":      {atClient: once(lossy.Doubled, kindData, 20), code: aegis.CodeDataLoss},
		"two responses change places": {atClient: once(lossy.Swapped, kindData, 20), code: aegis.CodeDataLoss},
		"the end is lost":             {atClient: once(lossy.Lost, kindEnd, 1)},
		"the end comes twice":         {atClient: once(lossy.Doubled, kindEnd, 1)},
		"a request is lost":           {atServer: once(lossy.Lost, kindData, 20), code: aegis.CodeDataLoss},
		"the last request is lost":    {atServer: once(lossy.Lost, kindData, 100), code: aegis.CodeDataLoss},
		"a request comes twice":       {atServer: once(lossy.Doubled, kindData, 20), code: aegis.CodeDataLoss},
		"two requests change places":  {atServer: once(lossy.Swapped, kindData, 20), code: aegis.CodeDataLoss},
		"the half-close is lost":      {atServer: once(lossy.Lost, kindHalfClose, 1), code: aegis.CodeDataLoss},
		"the half-close comes twice":  {atServer: once(lossy.Doubled, kindHalfClose, 1)},
		"a credit is lost":            {atServer: once(lossy.Lost, kindCredit, 2)},
		"credits are lost":            {atServer: once(lossy.Lost, kindCredit, 1), atClient: once(lossy.Lost, kindCredit, 1)},
		"a credit comes twice":        {atServer: once(lossy.Doubled, kindCredit, 1)},
		"the cancel is lost":          {atServer: once(lossy.Lost, kindCancel, 1)},
		"all is slow":                 {atClient: func(byte) lossy.Fate { return lossy.Delayed }, atServer: func(byte) lossy.Fate { return lossy.Delayed }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := connect(t)
			clientConn := behind(t, n, c.atClient)
			srv := serveStreams(t, behind(t, n, c.atServer), streams{}, aegis.WithStreamWindow(8, 1<<20))
			chat, err := newStreamClient(t, clientConn).Chat(t.Context(), aegis.WithStreamWindow(8, 1<<20))
			require.NoError(t, err)
			err = chatAll(t, chat, 100)
			require.Equal(t, c.code, aegis.CodeOf(err), "%v", err)
			nothingKept(t, srv, clientConn)
		})
	}
}

// behind returns a connection that meets with faults; nil for none.
func behind(t *testing.T, conn *aegis.Conn, decide func(byte) lossy.Fate) *aegis.Conn {
	t.Helper()
	target := conn.NATS().ConnectedUrl()
	if decide == nil {
		return connectTo(t, target)
	}
	link := startFaultyLink(t, target, decide)
	return connectTo(t, link.URL(), aegis.WithNATSOptions(nats.IgnoreDiscoveredServers()))
}

// chatAll sends so many messages and reads them all back.
func chatAll(t *testing.T, chat aegis.BidiStream[testv1.ChatRequest, testv1.ChatResponse], count int) error {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		for i := range count {
			if err := chat.Send(&testv1.ChatRequest{Text: strconv.Itoa(i)}); err != nil {
				sent <- err
				return
			}
		}
		sent <- chat.CloseSend()
	}()
	got := 0
	var failed error
	for res, err := range chat.All() {
		if err != nil {
			failed = err
			break
		}
		require.Equal(t, strconv.Itoa(got), res.GetText(), "what comes is in order, and nothing is missing")
		got++
	}
	_ = chat.Close()
	if err := receive(t, "the sender returns", sent); failed == nil && err != nil && !errors.Is(err, io.EOF) {
		failed = err
	}
	if failed == nil {
		require.Equal(t, count, got)
	}
	return failed
}

// A link that loses, repeats and swaps what it likes: each stream is whole or
// says that it is not, and nothing is left over.
func TestLinkThatIsNeverGood(t *testing.T) {
	t.Parallel()
	wild := func(seed uint64) func(byte) lossy.Fate {
		var mu sync.Mutex
		r := rand.New(rand.NewPCG(seed, 1))
		return func(byte) lossy.Fate {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(200) > 0 {
				return lossy.Passed
			}
			return lossy.Fate(1 + r.IntN(4))
		}
	}
	n := connect(t)
	clientConn := behind(t, n, wild(1))
	srv := serveStreams(t, behind(t, n, wild(2)), streams{})
	client := newStreamClient(t, clientConn)
	outcomes := make(chan error, 40)
	for range 8 {
		go func() {
			for range cap(outcomes) / 8 {
				ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
				chat, err := client.Chat(ctx)
				if err == nil {
					err = chatAll(t, chat, 100) //nolint:testifylint // what it requires ends this goroutine, which the test then waits for in vain
				}
				cancel()
				outcomes <- err
			}
		}()
	}
	seen := map[aegis.Code]int{}
	for range cap(outcomes) {
		select {
		case err := <-outcomes:
			code := aegis.CodeOf(err)
			seen[code]++
			require.Contains(t, []aegis.Code{0, aegis.CodeDataLoss, aegis.CodeUnavailable, aegis.CodeCanceled, aegis.CodeDeadlineExceeded}, code, "%v", err)
		case <-time.After(4 * patience):
			t.Fatal("a stream hangs")
		}
	}
	require.Positive(t, seen[0], fmt.Sprint(seen))
	require.Positive(t, seen[aegis.CodeDataLoss], fmt.Sprint(seen))
	nothingKept(t, srv, clientConn)
}
