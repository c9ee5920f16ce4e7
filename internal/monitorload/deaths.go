package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/procs"
)

// group is the single active group of a page that is open.
type group struct {
	mu      sync.Mutex // guards last
	last    monitorapi.Leadership
	changed chan struct{}
}

// measureDeaths kills leaders with SIGKILL, and prints how soon an open page has it that the
// leader is gone or that another one leads.
func measureDeaths(ctx context.Context, deaths int) error {
	if deaths == 0 {
		return nil
	}
	n, stop, err := startNATS()
	if err != nil {
		return err
	}
	defer stop()
	monitor, address, err := startMonitor(n.ClientURL())
	if err != nil {
		return err
	}
	defer monitor.Kill()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(deaths+1)*time.Minute)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	g := &group{changed: make(chan struct{}, 1)}
	work.Go(func() { g.watch(ctx, address) })
	servers := map[string]*procs.Process{}
	defer func() {
		for _, server := range servers {
			server.Kill()
		}
	}()
	var gone, led []time.Duration
	for death := range deaths + 1 {
		for len(servers) < 3 {
			name := fmt.Sprintf("order-%d-%d", death, len(servers))
			if servers[name], err = child(name, []string{"order", "-nats", n.ClientURL(), "-name", name}, nil); err != nil {
				return err
			}
		}
		l, err := g.await(ctx, func(l *monitorapi.Leadership) bool {
			return l.State == monitorapi.LeaderLeads && servers[l.Instance] != nil && len(l.Candidates) >= 3
		})
		if err != nil || death == deaths {
			return report(err, gone, led)
		}
		began := time.Now()
		servers[l.Instance].Kill()
		delete(servers, l.Instance)
		if _, err = g.await(ctx, func(now *monitorapi.Leadership) bool {
			return now.State != monitorapi.LeaderLeads || now.Term > l.Term
		}); err != nil {
			return err
		}
		gone = append(gone, time.Since(began))
		if _, err = g.await(ctx, func(now *monitorapi.Leadership) bool {
			return now.State == monitorapi.LeaderLeads && now.Term > l.Term
		}); err != nil {
			return err
		}
		led = append(led, time.Since(began))
	}
	return nil
}

func report(err error, gone, led []time.Duration) error {
	if err != nil {
		return err
	}
	fmt.Printf("\nleaders killed with SIGKILL, until an open page has it:\n")
	fmt.Printf("  not leading any more %s\n", spread(gone))
	fmt.Printf("  the next one leads   %s\n", spread(led))
	return nil
}

func (g *group) watch(ctx context.Context, address string) {
	url := address + strings.TrimPrefix(monitorapi.Prefix, "/") + "overview"
	err := watch(ctx, url, func(o *monitorapi.Overview, _ int) {
		if len(o.Leaders) == 0 {
			return
		}
		g.mu.Lock()
		g.last = o.Leaders[0]
		g.mu.Unlock()
		select {
		case g.changed <- struct{}{}:
		default:
		}
	})
	if ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "the page has ended:", err)
	}
}

// await waits until a leadership is as it should be.
func (g *group) await(ctx context.Context, is func(*monitorapi.Leadership) bool) (monitorapi.Leadership, error) {
	for {
		g.mu.Lock()
		last := g.last
		g.mu.Unlock()
		if last.Group != "" && is(&last) {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("waiting for the group, which is %+v: %w", last, ctx.Err())
		case <-g.changed:
		}
	}
}
