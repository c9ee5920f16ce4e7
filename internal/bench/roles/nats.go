package roles

import (
	"encoding/json"
	"os"

	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/embednats"
)

// startNATS is the role of the NATS server. It says its URL when it is ready.
func startNATS(string) (map[string]child.Op, func(), error) {
	dir, err := os.MkdirTemp("", "aegis-bench-")
	if err != nil {
		return nil, nil, err
	}
	srv, err := embednats.Start(embednats.Options{StoreDir: dir})
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, nil, err
	}
	stop := func() {
		srv.Stop()
		_ = os.RemoveAll(dir)
	}
	ready := func(json.RawMessage) (any, error) { return srv.ClientURL(), nil }
	return map[string]child.Op{"ready": ready}, stop, nil
}
