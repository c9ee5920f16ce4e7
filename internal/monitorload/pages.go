package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// watch reads a live document until the context ends, and calls see with each version of it.
func watch[T any](ctx context.Context, url string, see func(document *T, bytes int)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		data, ok := strings.CutPrefix(string(line), "data: ")
		if !ok {
			continue
		}
		document := new(T)
		if err := json.Unmarshal([]byte(data), document); err != nil {
			return err
		}
		see(document, len(line))
	}
}

// pages are open pages.
type pages struct {
	mu        sync.Mutex // guards all below
	documents int
	bytes     int
	waits     []time.Duration // from one document of a page to the next
	ages      []time.Duration // of the figures, just before the next document came
	problem   error
}

// open opens a page at an address, and counts what it reads until the context ends.
func (p *pages) open(ctx context.Context, url string) {
	var last time.Time
	var read time.Time // when the figures of the last document were read
	err := watch(ctx, url, func(h *monitorapi.Header, bytes int) {
		now := time.Now()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.documents++
		p.bytes += bytes
		if !last.IsZero() {
			p.waits = append(p.waits, now.Sub(last))
		}
		if !read.IsZero() {
			p.ages = append(p.ages, now.Sub(read))
		}
		last, read = now, figuresOf(h)
	})
	if ctx.Err() == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.problem = err
	}
}

func figuresOf(h *monitorapi.Header) time.Time {
	for _, source := range h.Sources {
		if source.Name == monitorapi.SourceFigures && source.At != nil {
			return *source.At
		}
	}
	return time.Time{}
}

// print prints what pages have read in some seconds.
func (p *pages) print(over time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	seconds := over.Seconds()
	fmt.Printf("  documents      %8.1f a second, %.1f MB a second\n", float64(p.documents)/seconds, float64(p.bytes)/seconds/1e6)
	fmt.Printf("  between two    %s\n", spread(p.waits))
	fmt.Printf("  oldest figures %s\n", spread(p.ages))
	return p.problem
}

func (p *pages) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.documents, p.bytes, p.waits, p.ages = 0, 0, nil, nil
}

// spread returns the median, the 99th percentile and the greatest of some times.
func spread(times []time.Duration) string {
	if len(times) == 0 {
		return "none"
	}
	slices.Sort(times)
	at := func(percent int) time.Duration {
		return times[min(len(times)*percent/100, len(times)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("median %v, p99 %v, at most %v (%d)", at(50), at(99), at(100), len(times))
}
