package dial

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
)

// Title returns the name of a connection, by which people find it among those that NATS
// lists: the instance, the program and its version, without what is not known.
func Title(instance, version string) string {
	return strings.Join(strings.Fields(instance+" "+programName()+" "+version), " ")
}

// programName is the name of the running program, without its folder.
func programName() string {
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
}

// BuiltVersion returns the version that the Go tool has put into the program: that of its
// module, or the commit that it was built from; "" for neither.
var BuiltVersion = sync.OnceValue(builtVersion) //nolint:gochecknoglobals // it never changes

func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var revision, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + modified
}
