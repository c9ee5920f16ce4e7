package scaffold

import (
	"regexp"
	"slices"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
)

// names are what the name of a project becomes in files and code.
type names struct {
	// Name is the project's name and that of its directory, such as "order-book".
	Name string
	// Module is the path of the Go module.
	Module string
	// Snake is the name in protos, such as "order_book".
	Snake string
	// Service is the name of the service, such as "OrderBookService".
	Service string
	// GenPackage is the name of the Go package of the messages, such as "orderbookv1".
	GenPackage string
}

const (
	nameRule   = "a name has 1 to 40 lower-case letters and digits, in words that begin with a letter, with a - between two words, such as shop or order-book"
	moduleRule = "a module's path is one that Go can import, such as example.com/shop: its first part has a dot, and its " +
		"parts have letters, digits, and - _ . ~ between them"

	longestName = 40
)

var (
	nameForm   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*$`)
	moduleForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+(/[A-Za-z0-9]([A-Za-z0-9._~-]*[A-Za-z0-9])?)*$`)
	// device is what Windows takes for a device, whatever directory it is in. Go refuses
	// import paths with such parts on every system.
	device = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])$`)
)

// taken are names that mean something else: aegis is the package of Aegis's own protos,
// google that of the well-known types, vendor a directory that Go does not look into.
var taken = []string{"aegis", "google", "vendor"}

// newNames checks the name of a project and the path of its module. An empty path stands
// for example.com/NAME.
func newNames(name, module string) (names, error) {
	words := strings.Split(name, "-")
	last := words[len(words)-1]
	switch {
	case !nameForm.MatchString(name) || len(name) > longestName:
		return names{}, cli.Usagef("name %q: %s", name, nameRule)
	case slices.Contains(taken, name) || device.MatchString(name):
		return names{}, cli.Usagef("name %q: this name has a meaning of its own to Go, protobuf or a file system; take another one", name)
	case len(words) > 1 && slices.Contains(suffixes, last):
		return names{}, cli.Usagef("name %q: Go would take the generated files %s.pb.go for files of %s alone; let the name end in another word than %q",
			name, strings.ReplaceAll(name, "-", "_"), last, last)
	}
	if module == "" {
		module = "example.com/" + name
	}
	if err := checkModule(module); err != nil {
		return names{}, err
	}
	n := names{
		Name: name, Module: module, Snake: strings.Join(words, "_"),
		GenPackage: strings.Join(words, "") + "v1",
	}
	for _, word := range words {
		n.Service += strings.ToUpper(word[:1]) + word[1:]
	}
	n.Service += "Service"
	return n, nil
}

func checkModule(path string) error {
	if !moduleForm.MatchString(path) {
		return cli.Usagef("--module %q: %s", path, moduleRule)
	}
	if path == aegisModule {
		return cli.Usagef("--module %q: this is the module of Aegis itself; %s", path, moduleRule)
	}
	for part := range strings.SplitSeq(path, "/") {
		base, _, _ := strings.Cut(part, ".")
		if device.MatchString(base) || part == "internal" || part == "vendor" || part == "testdata" {
			return cli.Usagef("--module %q: the part %q has a meaning of its own to Go or a file system; %s", path, part, moduleRule)
		}
	}
	return nil
}

// suffixes of the names of Go files that say for which system or purpose a file is:
// `go tool dist list` has the systems.
var suffixes = []string{
	"aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "netbsd", "openbsd", "plan9",
	"solaris", "wasip1", "windows", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
	"ppc64le", "riscv64", "s390x", "wasm", "test", "unix", "hurd", "nacl", "zos", "sparc", "sparc64", "riscv", "ppc", "s390",
	"mips64p32", "mips64p32le", "armbe", "arm64be", "amd64p32", "386",
}

// ServiceName is the full name of the service.
func (n names) ServiceName() string { return n.ProtoPackage() + "." + n.Service }

// ProtoPackage is the package of the proto.
func (n names) ProtoPackage() string { return n.Snake + ".v1" }

// ProtoFile is the path of the proto in the project.
func (n names) ProtoFile() string { return "proto/" + n.Snake + "/v1/" + n.Snake + ".proto" }

// GenPath is the import path of the messages.
func (n names) GenPath() string { return n.Module + "/gen/" + n.Snake + "/v1" }

// AegisPackage is the Go package of clients and servers, and AegisPath its import path.
func (n names) AegisPackage() string { return n.GenPackage + "aegis" }

// AegisPath is the import path of AegisPackage.
func (n names) AegisPath() string { return n.GenPath() + "/" + n.AegisPackage() }
