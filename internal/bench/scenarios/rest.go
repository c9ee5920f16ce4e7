package scenarios

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/crew"
	"github.com/aegisrpc/aegis/internal/bench/figures"
	"github.com/aegisrpc/aegis/internal/bench/roles"
	"github.com/aegisrpc/aegis/internal/bench/tally"
)

const (
	// restSettles is how long instances run before they are measured: what is done less
	// often while nothing happens is done as seldom as it will be after that.
	restSettles = 45 * time.Second
	restRounds  = 3
)

// rester is an instance at rest, measured in a round.
type rester struct {
	what, role string
	process    *crew.Process
	tally      *tally.Tally
	cpu        figures.Spread // in percent of a core
	messages   figures.Spread // a second
	counts     tally.Counts   // of all rounds
	judged     bool
}

func restScenario() Scenario {
	return Scenario{
		Name: "rest",
		About: "What instances cost that nobody calls, each a process of its own, all of them at once (docs/idle.md):\n" +
			"processor time of the process, messages that it sends and is sent, and what these are for.",
		Run: runRest,
	}
}

func runRest(ctx context.Context, s *Settings) (int, error) {
	g := crew.New(ctx)
	resters := []*rester{
		{what: "a connection", role: roles.RestConnection},
		{what: "a server with calls", role: roles.RestCalls},
		{what: "... and a group, leading", role: roles.RestGroup},
		{what: "... and a group, standing by", role: roles.RestGroup},
		{what: "... and a core event", role: roles.RestCore},
		{what: "... and a durable event", role: roles.RestDurable},
		{what: "... and a keyed event of 8 partitions", role: roles.RestKeyed8},
		{what: "... and a keyed event of 16 partitions", role: roles.RestKeyed16},
		{what: "... and a command", role: roles.RestCommand},
		{what: "... and a group, leading, and two keyed events of 8", role: roles.RestWhole, judged: true},
	}
	defer func() {
		g.Stop() // while they are connected
		for _, r := range resters {
			if r.tally != nil {
				r.tally.Close()
			}
		}
	}()
	var servers []*crew.Process
	for i, r := range resters {
		if i == 0 || r.role != resters[i-1].role { // those of one role share a NATS server
			servers = append(servers, g.Start("nats", ""))
		}
		if g.Err != nil {
			return 0, g.Err
		}
		var err error
		if r.tally, err = tally.Start(strings.TrimPrefix(servers[len(servers)-1].URL, "nats://")); err != nil {
			return 0, err
		}
		r.process = g.Start(r.role, r.tally.URL())
	}
	if g.Err != nil {
		return 0, g.Err
	}
	if err := pass(ctx, restSettles); err != nil {
		return 0, err
	}
	for range restRounds {
		if err := restRound(ctx, resters, s.RestTime); err != nil {
			return 0, err
		}
	}
	return printRest(resters, s.RestTime), nil
}

func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// restRound measures all instances for some time.
func restRound(ctx context.Context, resters []*rester, d time.Duration) error {
	processes := make([]*crew.Process, len(resters))
	counts := make([]tally.Counts, len(resters))
	for i, r := range resters {
		processes[i], counts[i] = r.process, r.tally.Counts()
	}
	began := time.Now()
	before, err := crew.CPUOf(processes...)
	if err != nil {
		return err
	}
	if err := pass(ctx, d); err != nil {
		return err
	}
	after, err := crew.CPUOf(processes...)
	if err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	for i, r := range resters {
		r.cpu = append(r.cpu, 100*(after[i]-before[i]).Seconds()/seconds)
		r.add(counts[i], r.tally.Counts(), seconds)
	}
	return nil
}

// add adds the messages of a round.
func (r *rester) add(before, after tally.Counts, seconds float64) {
	if r.counts == nil {
		r.counts = make(tally.Counts)
	}
	all := 0
	for kind, n := range after {
		r.counts[kind] += n - before[kind]
		all += n - before[kind]
	}
	r.messages = append(r.messages, float64(all)/seconds)
}

// printRest prints the tables, and returns how many targets were missed.
func printRest(resters []*rester, d time.Duration) int {
	table := figures.NewTable(os.Stdout)
	figures.Row(table, "instance", "% of a core", "messages/s", "of which")
	figures.Row(table, "---", "---:", "---:", "---")
	for _, r := range resters {
		figures.Row(table, r.what, r.cpu.String(), fmt.Sprintf("%.1f", figures.Median(r.messages)), r.kinds(restRounds*d.Seconds()))
	}
	_ = table.Flush()
	fmt.Println()
	v := figures.NewVerdicts(os.Stdout, "at rest")
	for _, r := range resters {
		if !r.judged {
			continue
		}
		v.Judge(r.what+": % of a core", figures.Median(r.cpu), r.cpu.String(), figures.AtMost(1))
		v.Judge("the same, messages/s", figures.Median(r.messages), r.messages.String(), figures.AtMost(60))
	}
	return v.Done()
}

// kinds lists the kinds of messages, the most frequent first.
func (r *rester) kinds(seconds float64) string {
	kinds := slices.Collect(maps.Keys(r.counts))
	slices.SortFunc(kinds, func(a, b string) int { return r.counts[b] - r.counts[a] })
	var texts []string
	for _, kind := range kinds {
		if n := r.counts[kind]; n > 0 {
			texts = append(texts, fmt.Sprintf("%.1f %s", float64(n)/seconds, kind))
		}
	}
	return strings.Join(texts, ", ")
}
