package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/internal/monitorload/fleet"
	"github.com/aegisrpc/aegis/internal/procs"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// serveMonitor is the process of the monitor: it prints its address.
func serveMonitor(ctx context.Context, args []string) error {
	conn, err := aegis.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }() // the process ends
	monitor, err := aegismonitor.New(conn)
	if err != nil {
		return err
	}
	defer monitor.Close()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/\n", l.Addr())
	server := &http.Server{Handler: monitor, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		monitor.Close()
		_ = server.Close() // it ends either way
	}()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// child starts this program in a role.
func child(name string, args []string, read func(io.Reader)) (*procs.Process, error) {
	cmd := exec.CommandContext(context.Background(), os.Args[0], args...) //nolint:gosec // it is this program
	cmd.Stderr = os.Stderr
	return procs.Start(name, cmd, read)
}

// startMonitor starts a monitor in a process of its own, and returns its address.
func startMonitor(natsURL string) (p *procs.Process, address string, err error) {
	if p, err = child("monitor", []string{"monitor", natsURL}, nil); err != nil {
		return nil, "", err
	}
	address, err = bufio.NewReader(p.Stdout).ReadString('\n')
	if err != nil {
		p.Kill()
		return nil, "", fmt.Errorf("the monitor did not start: %w", err)
	}
	return p, strings.TrimSpace(address), nil
}

// startNATS starts a NATS server with JetStream, which stop ends.
func startNATS() (n *embednats.Server, stop func(), err error) {
	dir, err := os.MkdirTemp("", "monitorload")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) } // it is in the folder for such
	if n, err = embednats.Start(embednats.Options{StoreDir: dir}); err != nil {
		remove()
		return nil, nil, err
	}
	return n, func() {
		n.Stop()
		remove()
	}, nil
}

// measureScale measures a monitor of a fleet with open pages.
func measureScale(ctx context.Context, s settings) error {
	n, stop, err := startNATS()
	if err != nil {
		return err
	}
	defer stop()
	f, err := fleet.New(ctx, n.ClientURL(), s.instances, s.services)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		if err := f.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "the fleet has ended:", err)
		}
	})
	monitor, address, err := startMonitor(n.ClientURL())
	if err != nil {
		return err
	}
	defer monitor.Kill()
	if err := ready(ctx, address, s.instances); err != nil {
		return err
	}
	fmt.Printf("\n%d instances of %d services\n", s.instances, s.services)
	if err := s.cost(ctx, monitor, n, nil, "nobody looks"); err != nil {
		return err
	}
	var open pages
	for i := range s.pages {
		url := address + strings.TrimPrefix(monitorapi.Prefix, "/") + "overview"
		if i%2 == 1 { // half of them look at a service
			url = fmt.Sprintf("%s%sservices/%s", address, strings.TrimPrefix(monitorapi.Prefix, "/"), f.Service(i))
		}
		work.Go(func() { open.open(ctx, url) })
	}
	return s.cost(ctx, monitor, n, &open, fmt.Sprintf("%d open pages", s.pages))
}

// ready waits until a monitor knows a number of instances.
func ready(ctx context.Context, address string, instances int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := watch(ctx, address+strings.TrimPrefix(monitorapi.Prefix, "/")+"overview", func(o *monitorapi.Overview, _ int) {
		if o.Totals.Instances >= instances {
			cancel()
		}
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

// cost prints what the monitor's process costs, after a while in which all starts.
func (s *settings) cost(ctx context.Context, monitor *procs.Process, n *embednats.Server, open *pages, when string) error {
	if err := sleep(ctx, max(s.time/4, 3*time.Second)); err != nil {
		return err
	}
	if open != nil {
		open.reset()
	}
	before, err := monitor.CPUTime()
	if err != nil {
		return err
	}
	messages, began := messagesOf(n), time.Now()
	if err := sleep(ctx, s.time); err != nil {
		return err
	}
	over := time.Since(began)
	after, err := monitor.CPUTime()
	if err != nil {
		return err
	}
	now, most, err := monitor.Memory()
	if err != nil {
		return err
	}
	fmt.Printf("\n%s:\n", when)
	fmt.Printf("  processor      %8.1f %% of a core\n", 100*(after-before).Seconds()/over.Seconds())
	fmt.Printf("  memory         %8.1f MB, at most %.1f MB\n", float64(now)/1e6, float64(most)/1e6)
	fmt.Printf("  NATS           %8.1f messages a second, in and out, of all clients\n", float64(messagesOf(n)-messages)/over.Seconds())
	if open != nil {
		return open.print(over)
	}
	return nil
}

// messagesOf returns how many messages a NATS server has received and sent.
func messagesOf(n *embednats.Server) int64 {
	v, err := n.Varz(nil)
	if err != nil {
		return 0
	}
	return v.InMsgs + v.OutMsgs
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
