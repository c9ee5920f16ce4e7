package doctor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/near"
)

// Check looks at one part of the system.
type Check struct {
	// Name is what --check takes, and the first word of the ids of its findings.
	Name string
	// Looks says in one sentence what the check looks at.
	Looks string
	// Reads says what the check reads for that, and so which permissions it needs.
	Reads string
	// IDs are the words that follow the name in the ids of its findings.
	IDs []string

	run func(ctx context.Context, l *look) []Finding
}

// words returns the words of a text.
func words(text string) []string { return strings.Fields(text) }

// checks returns all checks in the order in which they run.
func checks() []Check {
	return []Check{
		checkEnvironment(), checkConnection(), checkVersions(), checkJetStream(), checkPermissions(), checkVoid(), checkBuckets(), checkStreams(), checkConsumers(),
		checkReplicas(), checkSync(), checkQueues(), checkDead(), checkLeaders(), checkRegistry(),
	}
}

// pick returns the checks of these names; all checks for no name.
func pick(names []string) ([]Check, error) {
	all := checks()
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, c := range all {
		known = append(known, c.Name)
	}
	for _, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		if near := near.Name(name, known); near != "" {
			return nil, cli.Usagef("--check %s: there is no such check; did you mean %s?", name, near)
		}
		return nil, cli.Usagef("--check %s: there is no such check; use %s", name, strings.Join(known, ", "))
	}
	return slices.DeleteFunc(all, func(c Check) bool { return !slices.Contains(names, c.Name) }), nil
}

// Scope says what a look is about.
type Scope struct {
	// Service limits the look to one service. Default: all services of the namespace.
	Service string
	// Instance is the name of the instance whose permissions are looked at. Default: any.
	Instance string
	// Role is that whose permissions are looked at. Default: none are.
	Role string
	// Monitor is the URL of the monitoring port of a NATS server. Default: none is asked.
	Monitor string
	// StuckAfter is how long a message may wait that nobody has in hand. Default 30 s.
	StuckAfter time.Duration
}

// Result is what one check has found.
type Result struct {
	Check    string    `json:"check"`
	Severity Severity  `json:"severity"`
	Findings []Finding `json:"findings"`
}

// runChecks has the checks look, one after the other, so that NATS has one look at a time
// to bear.
func runChecks(ctx context.Context, s *Session, scope Scope, picked []Check, say func(string)) []Result {
	l := newLook(s, scope)
	results := make([]Result, 0, len(picked))
	for _, c := range picked {
		if ctx.Err() != nil {
			break
		}
		say(c.Name)
		findings := c.run(ctx, l)
		if findings == nil {
			findings = []Finding{}
		}
		sortFindings(findings)
		results = append(results, Result{Check: c.Name, Severity: worst(findings), Findings: findings})
	}
	return results
}
