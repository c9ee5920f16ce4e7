package demo

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// heartbeat of the servers, so that one that is killed is missed soon.
const heartbeat = 500 * time.Millisecond

// registryLimit bounds how long the registry may take to be as it should be.
const registryLimit = 30 * time.Second

// registry watches the instances of a part's service, and prints them.
type registry struct {
	stage   *stage
	conn    *aegis.Conn
	service string
}

// openRegistry watches a service through a connection of its own.
func openRegistry(ctx context.Context, s *stage, service string) (*registry, error) {
	// There is no registry before the first server, which is no news here.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	conn, err := aegis.Connect(ctx, s.nats.ClientURL(), aegis.WithLogger(log))
	if err != nil {
		return nil, err
	}
	return &registry{stage: s, conn: conn, service: service}, nil
}

func (r *registry) close() { _ = r.conn.Close(context.Background()) } // nothing is on its way

// show prints the registry once it is as it should be.
func (r *registry) show(ctx context.Context, title string, is func(instances) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, registryLimit, fmt.Errorf("it took longer than %v", registryLimit))
	defer cancel()
	var list instances
	err := await(ctx, func() bool {
		var err error
		list, err = r.conn.Instances(ctx, r.service)
		return err == nil && is(list)
	})
	if err != nil {
		return fmt.Errorf("the registry is not as it should be %s: %w\n%s", title, err, list)
	}
	r.stage.sayf("the registry %s:\n%s", title, strings.TrimRight(list.String(), "\n"))
	return nil
}

// instances are the registered instances of one service.
type instances []aegis.Instance

// serving reports whether exactly these instances are registered, run, and have
// reported their health.
func serving(names ...string) func(instances) bool {
	return func(list instances) bool {
		if len(list) != len(names) {
			return false
		}
		for i, instance := range list {
			_, said := instance.Health()
			if instance.Name != names[i] || instance.State != aegis.StateRunning || !said {
				return false
			}
		}
		return true
	}
}

// without reports whether an instance is not there.
func without(name string) func(instances) bool {
	return func(list instances) bool {
		return !slices.ContainsFunc(list, func(i aegis.Instance) bool { return i.Name == name })
	}
}

// ledBy reports whether an instance leads, in a term or a later one.
func ledBy(term uint64) func(instances) bool {
	return func(list instances) bool { return list.term() >= term }
}

// term is the latest that is led: an instance that was killed is shown with its
// own until it is missed.
func (list instances) term() (latest uint64) {
	for _, instance := range list {
		for _, t := range instance.Leading {
			latest = max(latest, t.Token)
		}
	}
	return latest
}

// String is a table.
func (list instances) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\t\tinstance\tstate\tleads\tgrade\tscore\tcalls")
	for _, instance := range list {
		leads := "-"
		for _, t := range instance.Leading {
			if t.Token == list.term() {
				leads = t.Group
			}
		}
		grade, score, calls := "-", "-", "-"
		if report, said := instance.Health(); said {
			grade, score, calls = string(report.Grade), fmt.Sprintf("%.0f", report.Score), thousands(int(report.Requests))
		}
		fmt.Fprintf(w, "\t\t%s\t%s\t%s\t%s\t%s\t%s\n", instance.Name, instance.State, leads, grade, score, calls)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}
