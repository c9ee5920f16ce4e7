package aegis_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// fault is what happens to a frame on its way to who reads it.
type fault int

const (
	passed fault = iota
	lost
	doubled
	swapped // with the next
	delayed
)

// faultyLink is a TCP proxy in front of a NATS server that understands what the
// server sends: frames of streams meet with faults.
type faultyLink struct {
	url    string
	decide func(kind byte) fault

	mu    sync.Mutex
	conns []net.Conn
}

func startFaultyLink(t *testing.T, target string, decide func(kind byte) fault) *faultyLink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u, err := url.Parse(target)
	require.NoError(t, err)
	l := &faultyLink{url: "nats://" + listener.Addr().String(), decide: decide}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { l.serve(client, u.Host) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.mu.Lock()
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.mu.Unlock()
		running.Wait()
	})
	return l
}

func (l *faultyLink) serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	l.mu.Lock()
	l.conns = append(l.conns, client, server)
	l.mu.Unlock()
	var pumps sync.WaitGroup
	pumps.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	pumps.Go(func() { l.pump(client, bufio.NewReader(server)); _ = client.Close() })
	pumps.Wait()
}

// pump reads what the NATS server sends, line by line, and messages as a whole.
func (l *faultyLink) pump(to io.Writer, from *bufio.Reader) {
	var kept []byte // waits for the message that it changes places with
	for {
		line, err := from.ReadBytes('\n')
		if err != nil {
			return
		}
		if !bytes.HasPrefix(line, []byte("MSG ")) && !bytes.HasPrefix(line, []byte("HMSG ")) {
			if _, err := to.Write(line); err != nil {
				return
			}
			continue
		}
		fields := bytes.Fields(line)
		size, err := strconv.Atoi(string(fields[len(fields)-1]))
		if err != nil {
			return
		}
		payload := make([]byte, size+2)
		if _, err := io.ReadFull(from, payload); err != nil {
			return
		}
		msg := slices.Concat(line, payload)
		what := passed
		if isStreamSubject(string(fields[1])) && line[0] == 'M' && size > 0 { // a frame without headers
			what = l.decide(payload[0])
		}
		switch what {
		case lost:
			msg = nil
		case doubled:
			msg = append(msg, msg...)
		case swapped:
			if kept == nil {
				kept = msg
				continue
			}
		case delayed:
			time.Sleep(time.Millisecond)
		case passed:
		}
		if kept != nil {
			msg, kept = append(msg, kept...), nil
		}
		if _, err := to.Write(msg); err != nil {
			return
		}
	}
}

func isStreamSubject(subject string) bool {
	i := strings.LastIndexByte(subject, '.')
	return i > 0 && i+1 < len(subject) && subject[i+1] == 'S'
}

// once meets the nth frame of a kind with a fault.
func once(what fault, kind byte, nth int) func(byte) fault {
	var mu sync.Mutex
	n := 0
	return func(k byte) fault {
		mu.Lock()
		defer mu.Unlock()
		if k == kind {
			n++
			if n == nth {
				return what
			}
		}
		return passed
	}
}

// What goes wrong between two processes is noticed by the one that it reaches, or
// does no harm.
func TestFaultsBetweenClientAndServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		atClient, atServer func(byte) fault
		code               aegis.Code // of the client's stream; 0: it is whole
	}{
		"a response is lost":          {atClient: once(lost, kindData, 20), code: aegis.CodeDataLoss},
		"the last response is lost":   {atClient: once(lost, kindData, 100), code: aegis.CodeDataLoss},
		"a response comes twice":      {atClient: once(doubled, kindData, 20), code: aegis.CodeDataLoss},
		"two responses change places": {atClient: once(swapped, kindData, 20), code: aegis.CodeDataLoss},
		"the end is lost":             {atClient: once(lost, kindEnd, 1)},
		"the end comes twice":         {atClient: once(doubled, kindEnd, 1)},
		"a request is lost":           {atServer: once(lost, kindData, 20), code: aegis.CodeDataLoss},
		"the last request is lost":    {atServer: once(lost, kindData, 100), code: aegis.CodeDataLoss},
		"a request comes twice":       {atServer: once(doubled, kindData, 20), code: aegis.CodeDataLoss},
		"two requests change places":  {atServer: once(swapped, kindData, 20), code: aegis.CodeDataLoss},
		"the half-close is lost":      {atServer: once(lost, kindHalfClose, 1), code: aegis.CodeDataLoss},
		"the half-close comes twice":  {atServer: once(doubled, kindHalfClose, 1)},
		"a credit is lost":            {atServer: once(lost, kindCredit, 2)},
		"credits are lost":            {atServer: once(lost, kindCredit, 1), atClient: once(lost, kindCredit, 1)},
		"a credit comes twice":        {atServer: once(doubled, kindCredit, 1)},
		"the cancel is lost":          {atServer: once(lost, kindCancel, 1)},
		"all is slow":                 {atClient: func(byte) fault { return delayed }, atServer: func(byte) fault { return delayed }},
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
func behind(t *testing.T, conn *aegis.Conn, decide func(byte) fault) *aegis.Conn {
	t.Helper()
	target := conn.NATS().ConnectedUrl()
	if decide == nil {
		return connectTo(t, target)
	}
	link := startFaultyLink(t, target, decide)
	return connectTo(t, link.url, aegis.WithNATSOptions(nats.IgnoreDiscoveredServers()))
}

// chatAll sends so many messages and reads them all back.
func chatAll(t *testing.T, chat aegis.BidiClient[testv1.ChatRequest, testv1.ChatResponse], count int) error {
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
	wild := func(seed uint64) func(byte) fault {
		var mu sync.Mutex
		r := rand.New(rand.NewPCG(seed, 1))
		return func(byte) fault {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(200) > 0 {
				return passed
			}
			return fault(1 + r.IntN(4))
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
