package scaffold

import (
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/near"
)

// method is what a project shows of one pattern.
type method struct {
	Pattern string
	Name    string // of the rpc
	Func    string // in the sample's client
	File    string // of the sample's code, without the extension
	Shows   string // in a sentence after "shows"
}

const (
	patternAll   = "all"
	patternEvent = "event"
)

// methods has one method for each pattern, in the order of the sample.
var methods = []method{
	{"load_balanced", "Hello", "hello", "hello", "a call that any instance answers"},
	{"stream", "Countdown", "countdown", "countdown", "a stream of messages"},
	{"single_active", "TakeNumber", "takeNumber", "number", "a call that only the elected leader handles"},
	{"broadcast", "Uptime", "uptime", "uptime", "a call that every instance answers"},
	{"event", "Joined", "joined", "joined", "an event that is stored for its subscribers"},
	{"command", "Invite", "invite", "invite", "a command that is stored until it is done"},
}

func patternNames() []string {
	var all []string
	for _, m := range methods {
		all = append(all, m.Pattern)
	}
	return append(all, patternAll)
}

// pick returns the methods of the patterns with these names.
func pick(patterns []string) ([]method, error) {
	known := patternNames()
	for _, p := range patterns {
		if slices.Contains(known, p) {
			continue
		}
		text := "--pattern " + p + ": use "
		if near := near.Name(p, known); near != "" {
			text = "--pattern " + p + ": did you mean " + near + "? There are "
		}
		return nil, cli.Usagef("%s%s", text, strings.Join(known, ", "))
	}
	if len(patterns) == 0 {
		return nil, cli.Usagef("--pattern is empty: use one or more of %s", strings.Join(known, ", "))
	}
	if slices.Contains(patterns, patternAll) {
		return methods, nil
	}
	return slices.DeleteFunc(slices.Clone(methods), func(m method) bool { return !slices.Contains(patterns, m.Pattern) }), nil
}
