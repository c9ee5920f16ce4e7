//go:build linux

package roles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// What a client of streams can be told.
const (
	CommandRun  = "run"  // streams, 0 for as many as there is time for; how many at once; items in each
	CommandStop = "stop" // begin no more of them
	CommandKeep = "keep" // streams that stay open
	CommandSlow = "slow" // seconds in which an item a second is read

	EventWhole = "whole" // streams that carried everything
	EventHung  = "hung"  // streams that did not end
	EventCode  = "code-" // and a code: streams that ended with a status
	eventKept  = "kept"  // streams that are open
	EventRead  = "read"  // items that were read slowly
	EventSlow  = "slow"  // the slow stream was closed
)

// streamLimit is how long a stream may take before it counts as hung.
const streamLimit = 60 * time.Second

// ReaderOrder says how to use streams.
type ReaderOrder struct {
	URL  string
	Name string
}

// reader is a client of streams. It counts how its streams end.
type reader struct {
	client faultv1aegis.StreamServiceClient
	conn   *aegis.Conn

	stopped atomic.Bool

	mu    sync.Mutex
	tally map[string]uint64 // what came of all streams so far
}

// runReader does what it is told until the parent closes the pipe.
func runReader(o ReaderOrder) error {
	conn, err := connectOnly(context.Background(), o.URL, o.Name)
	if err != nil {
		return err
	}
	r := &reader{conn: conn, tally: make(map[string]uint64)}
	if r.client, err = faultv1aegis.NewStreamServiceClient(conn); err != nil {
		return err
	}
	sayReady()
	awaitParent(func(line string) { go r.command(line) })
	return conn.Close(context.Background())
}

// command does what it is told and says when it is done.
func (r *reader) command(line string) {
	var name string
	var number, atOnce, items int
	_, _ = fmt.Sscan(line, &name, &number, &atOnce, &items) // those that are not given are 0
	switch name {
	case CommandStop:
		r.stopped.Store(true)
		return
	case CommandRun:
		r.runAll(number, atOnce, uint64(items))
	case CommandKeep:
		r.keep(number)
	case CommandSlow:
		r.slow(time.Duration(number) * time.Second)
	case CommandMeasure:
		sayHoldings(r.conn)
	case CommandDump:
		dumpGoroutines()
	default:
		slog.Error("no such command", "line", line)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for event, n := range r.tally {
		say(event, n, 0)
	}
	if name == CommandSlow { // others are done while it runs
		say(EventSlow, 1, 0)
	} else {
		say(EventDone, 0, 0)
	}
}

func (r *reader) count(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally[name]++
}

// runAll uses streams of all three kinds.
func (r *reader) runAll(streams, atOnce int, items uint64) {
	numbers := make(chan int)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for n := range numbers {
				r.judge(r.use(n, items))
			}
		})
	}
	r.stopped.Store(false)
	for n := 0; (streams == 0 || n < streams) && !r.stopped.Load(); n++ {
		numbers <- n
	}
	close(numbers)
	all.Wait()
}

func (r *reader) use(n int, items uint64) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	late := time.AfterFunc(streamLimit, func() { cancel(errHung) }) // no deadline, which would travel
	defer late.Stop()
	var err error
	switch n % 3 {
	case 0:
		err = r.pull(ctx, items)
	case 1:
		err = r.push(ctx, items)
	default:
		err = r.chat(ctx, items)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

var errHung = errors.New("the stream did not end")

// judge counts what came of a stream.
func (r *reader) judge(err error) {
	switch {
	case err == nil:
		r.count(EventWhole)
	case errors.Is(err, errShort):
		r.count(EventShort)
	case errors.Is(err, errHung):
		r.count(EventHung)
	default:
		slog.Info("a stream ended", "err", err)
		r.count(EventCode + aegis.CodeOf(err).String())
	}
}

func (r *reader) pull(ctx context.Context, items uint64) error {
	in, err := r.client.Pull(ctx, &faultv1.PullRequest{Items: items})
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // its error is always nil
	var t taker
	for res, err := range in.All() {
		if err != nil {
			return err
		}
		if t.take(res.GetItem()); t.wrong {
			return errShort
		}
	}
	if !t.whole() {
		return errShort
	}
	return nil
}

func (r *reader) push(ctx context.Context, items uint64) error {
	out, err := r.client.Push(ctx)
	if err != nil {
		return err
	}
	m := maker{items: items}
	for item := m.next(); item != nil; item = m.next() {
		if err := out.Send(&faultv1.PushRequest{Item: item}); errors.Is(err, io.EOF) {
			break // the server has ended it, and the response says why
		} else if err != nil {
			return err
		}
	}
	res, err := out.CloseAndRecv()
	if err != nil {
		return err
	}
	if last := res.GetItem(); !last.GetLast() || last.GetNumber() != items || last.GetChecksum() != m.checksum {
		return errShort
	}
	return nil
}

func (r *reader) chat(ctx context.Context, items uint64) error {
	chat, err := r.client.Chat(ctx)
	if err != nil {
		return err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		m := maker{items: items}
		for item := m.next(); item != nil; item = m.next() {
			if chat.Send(&faultv1.ChatRequest{Item: item}) != nil {
				return // Recv says why
			}
		}
		_ = chat.CloseSend() // Recv says it
	}()
	defer func() {
		_ = chat.Close()
		<-sent
	}()
	var t taker
	for res, err := range chat.All() {
		if err != nil {
			return err
		}
		if t.take(res.GetItem()); t.wrong {
			return errShort
		}
	}
	if !t.whole() {
		return errShort
	}
	return nil
}

// keep opens streams that stay open, each with an item there and back.
func (r *reader) keep(streams int) {
	for range streams {
		chat, err := r.client.Chat(context.Background())
		if err == nil {
			m := maker{items: 2}
			err = chat.Send(&faultv1.ChatRequest{Item: m.next()})
		}
		if err == nil {
			_, err = chat.Recv()
		}
		if err != nil {
			r.judge(err)
			return
		}
		r.count(eventKept)
	}
}

// slow reads an item a second of a stream that has more.
func (r *reader) slow(d time.Duration) {
	const endless = 1 << 40
	ctx, cancel := context.WithTimeoutCause(context.Background(), d+streamLimit, errHung)
	defer cancel()
	in, err := r.client.Pull(ctx, &faultv1.PullRequest{Items: endless})
	if err != nil {
		r.judge(err)
		return
	}
	defer in.Close() //nolint:errcheck // its error is always nil
	var t taker
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		res, err := in.Recv()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			r.judge(err)
			return
		}
		if t.take(res.GetItem()); t.wrong {
			r.judge(errShort)
			return
		}
		r.count(EventRead)
	}
}
