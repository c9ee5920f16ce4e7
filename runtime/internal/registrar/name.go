package registrar

import (
	"crypto/rand"
	"os"
	"strings"

	"github.com/aegisrpc/aegis/internal/wire"
)

// NewName makes a name for an instance: the first label of the host's name and six random
// characters.
func NewName() string {
	host, _ := os.Hostname() // without one, the random part is the name
	host, _, _ = strings.Cut(host, ".")
	host = strings.Map(func(r rune) rune {
		if r < 0x80 && (wire.IsAlphanumeric(byte(r)) || r == '_' || r == '-') {
			return r
		}
		return '-'
	}, host)
	if host == "" {
		host = "host"
	}
	return host[:min(len(host), 57)] + "-" + rand.Text()[:6]
}
