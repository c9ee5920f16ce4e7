//go:build linux

package streams

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/world"
	"github.com/aegisrpc/aegis/internal/lossy"
	"github.com/aegisrpc/aegis/internal/natsproxy"
	"github.com/aegisrpc/aegis/internal/procs"
)

// pair is a world with a server of streams and a client of it. Both are connected
// through something that does harm to what passes.
type pair struct {
	*world.World
	of      *scenario
	res     *Result
	server  *procs.Process
	reader  *procs.Process
	readers []*procs.Process // with others that there were
	links   []*lossy.Link
	proxies []*natsproxy.Held // the server's, and the reader's
	started int
	harmful atomic.Bool // messages meet with their fate
}

func newPair(ctx context.Context, c *scenario, res *Result, log *slog.Logger) (*pair, error) {
	inner, err := world.New(ctx, world.Bare(), log)
	if err != nil {
		return nil, err
	}
	w := &pair{World: inner, of: c, res: res}
	if err := w.startBoth(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// startBoth starts the server and the client.
func (w *pair) startBoth(ctx context.Context) (err error) {
	if w.server, err = w.startStreamer(ctx); err != nil {
		return err
	}
	w.reader, err = w.startReader(ctx)
	return err
}

func (w *pair) startStreamer(ctx context.Context) (*procs.Process, error) {
	url, err := w.behind()
	if err != nil {
		return nil, err
	}
	w.started++
	name := fmt.Sprint("streamer", w.started)
	return w.StartReady(ctx, name, roles.Streamer, roles.StreamerOrder{URL: url, Instance: name})
}

func (w *pair) startReader(ctx context.Context) (*procs.Process, error) {
	url, err := w.behind()
	if err != nil {
		return nil, err
	}
	w.started++
	name := fmt.Sprint("reader", w.started)
	c, err := w.StartReady(ctx, name, roles.Reader, roles.ReaderOrder{URL: url, Name: name})
	w.readers = append(w.readers, c)
	return c, err
}

// behind starts the proxy through which one process is connected, and returns its
// URL.
func (w *pair) behind() (url string, err error) {
	target := w.Servers[0].Addr()
	if w.of.fate != nil {
		l, err := lossy.New(target, lag, func(m *lossy.Message) lossy.Fate {
			if !w.harmful.Load() || !m.OfStream() {
				return lossy.Passed
			}
			return w.of.fate(m)
		})
		if err != nil {
			return "", err
		}
		w.links = append(w.links, l)
		return l.URL(), nil
	}
	p, err := natsproxy.NewHeld(target)
	if err != nil {
		return "", err
	}
	w.proxies = append(w.proxies, p)
	return p.URL(), nil
}

// Close ends all processes and proxies.
func (w *pair) Close() {
	w.World.Close()
	for _, l := range w.links {
		l.Close()
	}
	for _, p := range w.proxies {
		p.Close()
	}
}

// remarkf adds a failure to the result.
func (w *pair) remarkf(format string, args ...any) {
	w.res.Failures = append(w.res.Failures, fmt.Sprintf(format, args...))
}
