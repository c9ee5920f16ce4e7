package doctor

import (
	"fmt"
	"strings"
)

// permissionsBlock returns the permissions of a role as they are written into the
// configuration of nats-server.
func permissionsBlock(r *role, e *expander) string {
	var b strings.Builder
	about := r.title
	if r.service {
		about += " " + e.service
	}
	fmt.Fprintf(&b, "# The permissions of %s, for a user in the configuration of nats-server.\n", about)
	if e.inbox == defaultInbox {
		b.WriteString("# One user cannot read the replies of another only if each has an inbox prefix of its own.\n")
	}
	b.WriteString("permissions: {\n")
	parts := e.expanded(r)
	list(&b, publishing, parts, func(p *part) []string { return p.publish })
	list(&b, subscribing, parts, func(p *part) []string { return p.subscribe })
	if r.replies {
		b.WriteString("  # The replies to requests, whoever sent them; streams may last longer than the default of 2 minutes.\n" +
			"  allow_responses: {max: -1, expires: \"-1s\"}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// list writes the subjects of all parts. The queue group of a subject is part of its text,
// as nats-server has it.
func list(b *strings.Builder, name string, parts []part, subjects func(*part) []string) {
	fmt.Fprintf(b, "  %s: [\n", name)
	for i := range parts {
		list := subjects(&parts[i])
		if len(list) == 0 {
			continue
		}
		only := ""
		if parts[i].optional {
			only = ", if the program has any use of that"
		}
		fmt.Fprintf(b, "    # %s%s\n", parts[i].name, only)
		for _, s := range list {
			fmt.Fprintf(b, "    %q\n", s)
		}
	}
	b.WriteString("  ]\n")
}
