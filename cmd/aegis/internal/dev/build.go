package dev

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// exeSuffix ends the names of programs.
var exeSuffix = map[bool]string{true: ".exe"}[runtime.GOOS == "windows"]

// program is a built server.
type program struct {
	path string
	sum  string // of its content; programs of the same sum are the same
}

// build builds a server. The go command writes to a file that stays, so that it links
// nothing anew if nothing has changed; the program that runs is a copy, which the next
// build leaves alone. The program does not know its commit, or each commit would restart it.
func (p *project) build(ctx context.Context, s server) (program, error) {
	built := filepath.Join(p.state, "bin", s.name+".built")
	if _, err := p.command(ctx, "build", "-buildvcs=false", "-o", built, s.pkg); err != nil {
		return program{}, err
	}
	sum, err := sumOf(built)
	if err != nil {
		return program{}, err
	}
	prog := program{path: filepath.Join(p.state, "bin", s.name+"-"+sum[:12]+exeSuffix), sum: sum}
	if _, err := os.Stat(prog.path); err == nil {
		return prog, nil
	}
	return prog, copyFile(built, prog.path)
}

// removeOld removes the programs of a server that do not run any more.
func (p *project) removeOld(s server, now program) {
	old, _ := filepath.Glob(filepath.Join(p.state, "bin", s.name+"-*")) // the pattern is well-formed
	for _, path := range old {
		rest := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), s.name+"-"), exeSuffix)
		if path != now.path && len(rest) == 12 && !strings.Contains(rest, "-") {
			_ = os.Remove(path) // Windows keeps a program that still runs; the next time it goes
		}
	}
}

// embedded returns the files that the servers embed, by their absolute paths.
func (p *project) embedded(ctx context.Context, servers []server) (map[string]bool, error) {
	args := []string{"list", "-e", "-deps", "-f", "{{if not .Standard}}{{$dir := .Dir}}{{range .EmbedFiles}}{{$dir}}/{{.}}\n{{end}}{{end}}", "--"}
	for _, s := range servers {
		args = append(args, s.pkg)
	}
	out, err := p.command(ctx, args...)
	if err != nil {
		return nil, err
	}
	files := make(map[string]bool)
	for line := range strings.Lines(out) {
		if name := strings.TrimSpace(line); name != "" {
			files[filepath.FromSlash(name)] = true
		}
	}
	return files, nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // a program that was just built
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// copyFile copies a program. The copy has its name only when it is complete.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from) //nolint:gosec // a program that was just built
	if err != nil {
		return err
	}
	part := to + ".part"
	if err := os.WriteFile(part, data, 0o700); err != nil { //nolint:gosec // a program has to be executable
		return fmt.Errorf("keep the program: %w", err)
	}
	return os.Rename(part, to)
}
