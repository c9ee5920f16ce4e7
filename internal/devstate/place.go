package devstate

import (
	"fmt"
	"os"
	"path/filepath"
)

// Place is the directory of a command that runs servers.
type Place struct {
	Dir string
	// Command is the command, for people.
	Command string
}

// Project returns the place of aegis dev in a project.
func Project(dir string) Place {
	return Place{Dir: filepath.Join(dir, ".aegis"), Command: "aegis dev"}
}

// FindProject returns the place of aegis dev in the project that the current directory
// belongs to.
func FindProject() (Place, error) {
	here, err := os.Getwd()
	if err != nil {
		return Place{}, err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && !info.IsDir() {
			return Project(dir), nil
		}
		if dir == filepath.Dir(dir) {
			return Place{}, fmt.Errorf("%w here: no folder above %s has a go.mod, so that it is in no project of aegis dev", ErrNone, here)
		}
	}
}

// Demo returns the place of this user's aegis demo.
func Demo() (Place, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Place{}, err
	}
	return Place{Dir: filepath.Join(cache, "aegis", "demo"), Command: "aegis demo --forever"}, nil
}
