package bufconfig

import (
	"path"
	"strings"
)

// Known is a plugin that the command aegis has in itself.
type Known string

// The plugins.
const (
	Go    Known = "protoc-gen-go"
	Aegis Known = "protoc-gen-aegis"
)

// onlyKnown says what to do about other plugins.
const onlyKnown = "aegis has protoc-gen-go and protoc-gen-aegis in itself and runs no other; put it into a template of its own, for `buf generate --template`"

// Pin is the version of a plugin that a command asks for.
type Pin struct {
	Modfile string // of go's flag -modfile; "" for go.mod
	Version string // behind the @ of `go run`; "" for none
	Go      bool   // go runs the plugin, by what its mod file says
}

// packages are the Go packages of the plugins.
var packages = map[string]Known{
	"google.golang.org/protobuf/cmd/protoc-gen-go":   Go,
	"github.com/aegisrpc/aegis/cmd/protoc-gen-aegis": Aegis,
}

// identify returns the plugin that a command runs; "" if it is another one, or if the
// command has arguments that could change what the plugin does.
func identify(command []string) (Known, Pin) {
	if len(command) == 1 {
		return named(command[0]), Pin{}
	}
	if program(command[0]) != "go" || len(command) < 3 || command[1] != "tool" && command[1] != "run" {
		return "", Pin{}
	}
	pin := Pin{Go: true}
	args := command[2:]
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		name, value, ok := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		if !ok && takesValue[name] {
			value, args = args[1], args[1:]
		}
		if name == "modfile" {
			pin.Modfile = value
		}
		args = args[1:]
	}
	if len(args) != 1 {
		return "", Pin{}
	}
	target, version, _ := strings.Cut(args[0], "@")
	pin.Version = version
	if known, ok := packages[target]; ok {
		return known, pin
	}
	if command[1] == "run" && !strings.HasPrefix(target, "./") && !strings.HasPrefix(target, "../") {
		return "", Pin{}
	}
	return named(target), pin
}

// takesValue has the flags of go whose value may be the next argument.
var takesValue = map[string]bool{"modfile": true, "C": true, "mod": true, "tags": true, "ldflags": true, "gcflags": true, "p": true, "exec": true}

// named returns the plugin that a program or directory is, by its name.
func named(name string) Known {
	switch known := Known(program(name)); known {
	case Go, Aegis:
		return known
	}
	return ""
}

// program returns the name of a program without its directory.
func program(name string) string {
	return strings.TrimSuffix(path.Base(strings.ReplaceAll(name, `\`, "/")), ".exe")
}
