package generate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
)

// moduleOf has the modules that the plugins are part of.
var moduleOf = map[bufconfig.Known]string{
	bufconfig.Go:    "google.golang.org/protobuf",
	bufconfig.Aegis: "github.com/aegisrpc/aegis",
}

// released matches the version of a release, and not that of a build from a checkout.
var released = regexp.MustCompile(`^v\d+\.\d+\.\d+(?:-[a-z]+\.\d+)?$`)

// pinNotes tells which plugins the template would take in another version than the one that
// is in this command: buf would give other code with them. own has the command's versions.
func pinNotes(configured []bufconfig.Plugin, own map[string]string) []string {
	var notes []string
	for _, p := range configured {
		module := moduleOf[p.Known]
		if !released.MatchString(own[module]) {
			continue
		}
		version, from := p.Pin.Version, "the template"
		if version == "" && p.Pin.Go {
			version, from = modVersion(p.Pin.Modfile, module)
		}
		if version == "" || version == "latest" || version == own[module] {
			continue
		}
		note := fmt.Sprintf("%s has %s %s, and this command has %s in itself, with which the code was generated", from, p.Known, version, own[module])
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return notes
}

// ownVersions returns the versions of the modules that the command is built of, as far as
// the build tells.
func ownVersions() map[string]string {
	versions := make(map[string]string)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range append(slices.Clip(info.Deps), &info.Main) {
			versions[module.Path] = module.Version
		}
	}
	return versions
}

// modVersion returns the version of a module in a mod file, or in the go.mod of the working
// directory or above; "" if there is none.
func modVersion(modfile, module string) (version, file string) {
	candidates := []string{modfile}
	if modfile == "" {
		candidates = goMods()
	}
	required := regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(module) + `\s+(v\S+)`)
	for _, name := range candidates {
		data, err := os.ReadFile(name) //nolint:gosec // the template names it
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if m := required.FindSubmatch(data); err == nil && m != nil {
			return string(m[1]), name
		}
		return "", ""
	}
	return "", ""
}

// goMods returns where the go command looks for a go.mod.
func goMods() []string {
	var all []string
	cwd, err := os.Getwd()
	if err != nil {
		return nil
	}
	for dir := cwd; ; dir = filepath.Dir(dir) {
		all = append(all, filepath.Join(dir, "go.mod"))
		if dir == filepath.Dir(dir) {
			return all
		}
	}
}
