// Package repo holds the repository itself to its rules: that is what its tests
// do.
package repo

// Module is the path of the module.
const Module = "github.com/aegisrpc/aegis"

// LinkedModules lists what a generated service may link and what its go.mod may
// name: nats.go, protobuf and what they bring.
func LinkedModules() []string {
	return []string{
		Module,
		"github.com/klauspost/compress",
		"github.com/nats-io/nats.go",
		"github.com/nats-io/nkeys",
		"github.com/nats-io/nuid",
		"golang.org/x/crypto",
		"golang.org/x/sys",
		"google.golang.org/protobuf",
	}
}
