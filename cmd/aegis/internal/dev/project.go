package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/devstate"
)

// project is a folder with a go.mod.
type project struct {
	dir string
	// state is the directory in which dev keeps programs and the files of NATS.
	state string
	place devstate.Place
}

// findProject finds the project that the current directory belongs to.
func findProject() (*project, error) {
	place, err := devstate.FindProject()
	if errors.Is(err, devstate.ErrNone) {
		return nil, cli.Usagef("%v: change into one, or make one with `aegis init NAME`", err)
	}
	if err != nil {
		return nil, err
	}
	return &project{dir: filepath.Dir(place.Dir), state: place.Dir, place: place}, nil
}

// makeState makes the directory of dev, which ignores itself in git.
func (p *project) makeState() error {
	if err := os.MkdirAll(filepath.Join(p.state, "bin"), 0o750); err != nil {
		return fmt.Errorf("make the directory of aegis dev: %w", err)
	}
	return os.WriteFile(filepath.Join(p.state, ".gitignore"), []byte("*\n"), 0o600)
}

// server is a main package of the project.
type server struct {
	name string // for people, and of its program
	pkg  string // the import path
}

// instance is the name of one of several processes of the server, numbered from 0 on.
func (s server) instance(number, of int) string {
	if of == 1 {
		return s.name
	}
	return fmt.Sprintf("%s-%d", s.name, number+1)
}

// roots are the directories below which servers are looked for.
var roots = []string{"server", "cmd"}

// findServers finds the main packages that are named, or else those below the roots but for
// clients.
func (p *project) findServers(ctx context.Context, named []string) ([]server, error) {
	patterns := slices.Clone(named)
	if len(named) == 0 {
		for _, root := range roots {
			if info, err := os.Stat(filepath.Join(p.dir, root)); err == nil && info.IsDir() {
				patterns = append(patterns, "./"+root+"/...")
			}
		}
	}
	if len(patterns) == 0 {
		return nil, cli.Usagef("%s has neither ./server nor ./cmd, where servers are looked for: "+
			"name the packages of the servers, such as aegis dev ./billing", p.dir)
	}
	const format = "{{.Name}}\t{{.ImportPath}}\t{{.Dir}}\t{{if .Error}}{{.Error.Err}}{{end}}"
	out, err := p.command(ctx, append([]string{"list", "-e", "-find", "-f", format, "--"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	var found []server
	for line := range strings.Lines(out) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4)
		if len(part) < 4 {
			continue
		}
		name, pkg, dir, problem := part[0], part[1], part[2], part[3]
		switch {
		case len(named) > 0 && dir == "":
			return nil, cli.Usagef("package %s: %s", pkg, problem)
		case len(named) > 0 && name != "main" && !strings.Contains(pkg, "..."):
			return nil, cli.Usagef("package %s is no program, as it is of package %s and not of main: name the packages of servers", pkg, name)
		case name == "main" && (len(named) > 0 || !p.isClient(dir)):
			found = append(found, server{name: filepath.Base(dir), pkg: pkg})
		}
	}
	if len(found) == 0 {
		return nil, cli.Usagef("there is no main package in %s: name the packages of the servers, such as aegis dev ./billing", strings.Join(patterns, ", "))
	}
	return distinct(found), nil
}

// isClient reports whether the directory of a package says that it is a client.
func (p *project) isClient(dir string) bool {
	rel, err := filepath.Rel(p.dir, dir)
	return err == nil && slices.ContainsFunc(strings.Split(rel, string(filepath.Separator)), func(part string) bool {
		return strings.Contains(part, "client")
	})
}

// distinct gives servers of the same name longer ones.
func distinct(servers []server) []server {
	count := make(map[string]int)
	for _, s := range servers {
		count[s.name]++
	}
	for i, s := range servers {
		if count[s.name] > 1 {
			parts := strings.Split(s.pkg, "/")
			servers[i].name = strings.Join(parts[max(0, len(parts)-2):], "-")
		}
	}
	seen := make(map[string]bool)
	for i, s := range servers {
		if seen[s.name] {
			servers[i].name = strings.ReplaceAll(s.pkg, "/", "-")
		}
		seen[s.name] = true
	}
	return servers
}

// command runs a go command in the project and returns its standard output. The error is
// what the command printed.
func (p *project) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the user's own packages
	cmd.Dir = p.dir
	own(cmd)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return "", errors.New("there is no go command in PATH: install Go from https://go.dev/dl")
	case strings.TrimSpace(errs.String()) == "":
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	default:
		return "", errors.New(strings.TrimSpace(errs.String()))
	}
}
