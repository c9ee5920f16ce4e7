package scaffold

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// offline keeps the go command from asking anybody.
const offline = "GOPROXY=off"

// resolveModules completes go.mod and tools.mod and writes go.sum and tools.sum. The
// modules in the cache of this machine are tried first: with them it takes a second and no
// network.
func resolveModules(ctx context.Context, dir string, progress *cli.Progress) error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("there is no go command in PATH: install Go from https://go.dev/dl, version " + goVersion + " or newer")
	}
	tidy := []string{"mod", "tidy"}
	// `go mod tidy` would take the packages of the project for tools. Listing what the tools
	// import adds what they need.
	tools := []string{"list", "-mod=mod", "-modfile=tools.mod", "-deps", "tool"}
	// To build and to test needs fewer modules than tidy, which looks at the tests of others too.
	build := []string{"list", "-mod=mod", "-deps", "-test", "./..."}

	progress.Sayf("looking for the modules on this machine")
	tidyHere := run(ctx, dir, offline, tidy...) == nil
	toolsHere := run(ctx, dir, offline, tools...) == nil
	if tidyHere && toolsHere {
		return ctx.Err()
	}
	progress.Sayf("downloading the modules that are not on this machine")
	var err error
	if !tidyHere {
		if err = run(ctx, dir, "", tidy...); err != nil && run(ctx, dir, offline, build...) == nil {
			err = nil
		}
	}
	if err == nil && !toolsHere {
		err = run(ctx, dir, "", tools...)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("the modules of the project are not to be had, so nothing was made; "+
			"check the network and `go env GOPROXY`, or name another version with --aegis: %w", err)
	}
	return nil
}

// run runs a go command in dir. The error has what the command printed.
func run(ctx context.Context, dir, variable string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // arguments of its own
	cmd.Dir = dir
	// A workspace or a vendor directory around the project says nothing about it.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS="+goFlags(os.Getenv("GOFLAGS")), "PWD="+dir)
	if variable != "" {
		cmd.Env = append(cmd.Env, variable)
	}
	var printed strings.Builder
	cmd.Stderr = &printed
	if err := cmd.Run(); err != nil {
		text := strings.ReplaceAll(strings.TrimSpace(printed.String()), dir+string(filepath.Separator), "")
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// goFlags returns the user's flags for all go commands without those that name another
// source of modules.
func goFlags(given string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(given), func(f string) bool {
		f = strings.TrimPrefix(f, "-")
		return strings.HasPrefix(f, "-mod=") || strings.HasPrefix(f, "mod=") || strings.HasPrefix(f, "-modfile=") || strings.HasPrefix(f, "modfile=")
	}), " ")
}

// workspaceAbove returns the go.work of a directory above dir, or "". A go command in the
// project refuses to work until the workspace has the project.
func workspaceAbove(dir string) string {
	if os.Getenv("GOWORK") == "off" {
		return ""
	}
	for above := filepath.Dir(dir); ; above = filepath.Dir(above) {
		path := filepath.Join(above, "go.work")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if above == filepath.Dir(above) {
			return ""
		}
	}
}
