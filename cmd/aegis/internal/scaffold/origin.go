package scaffold

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

const aegisModule = "github.com/aegisrpc/aegis"

// origin is where a project takes Aegis from.
type origin struct {
	// Version is the version that go.mod requires.
	Version string
	// Dir is the absolute path of a checkout that replaces the version, or "".
	Dir string
}

// noVersion stands in a go.mod for a module that is replaced by a directory, as the go
// command writes it.
const noVersion = "v0.0.0-00010101000000-000000000000"

var (
	released  = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	ownModule = regexp.MustCompile(`(?m)^module "?` + regexp.QuoteMeta(aegisModule) + `"?\s*$`)
)

// Replacement is Dir as a go.mod has it.
func (o origin) Replacement() string {
	dir := filepath.ToSlash(o.Dir)
	if strings.ContainsAny(dir, " \t()[]{},\"'`") || strings.Contains(dir, "//") {
		return fmt.Sprintf("%q", dir)
	}
	return dir
}

// String says where Aegis comes from.
func (o origin) String() string {
	if o.Dir != "" {
		return o.Dir
	}
	return o.Version
}

// newOrigin finds where a project takes Aegis from: from the version or the path of the
// flag --aegis; else, if this program was installed from a module, from that version; else
// from the checkout in which it was built. A program that was built in a checkout may
// generate code that no released version supports, so the project follows the checkout.
func newOrigin(flag string) (origin, error) {
	if flag != "" {
		return originOfFlag(flag)
	}
	info, ok := debug.ReadBuildInfo()
	// A module that was downloaded has a checksum, a checkout has none.
	if ok && info.Main.Path == aegisModule && info.Main.Sum != "" {
		return origin{Version: info.Main.Version}, nil
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		dir := filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(file)))))
		if isCheckout(dir) {
			return origin{Version: noVersion, Dir: dir}, nil
		}
	}
	return origin{}, cli.Usagef("this aegis was built from a checkout that is not there any more, so no project can require its version: " +
		"name one with --aegis, a version such as v0.1.0 or the path of a checkout")
}

func originOfFlag(flag string) (origin, error) {
	if released.MatchString(flag) {
		return origin{Version: flag}, nil
	}
	dir, err := filepath.Abs(flag)
	if err != nil {
		return origin{}, err
	}
	if !isCheckout(dir) {
		return origin{}, cli.Usagef("--aegis %s: this is neither a version, such as v0.1.0, nor a directory with the go.mod of %s", flag, aegisModule)
	}
	return origin{Version: noVersion, Dir: dir}, nil
}

// isCheckout reports whether a directory has the module of Aegis.
func isCheckout(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // the user names it
	return err == nil && ownModule.Match(text)
}
