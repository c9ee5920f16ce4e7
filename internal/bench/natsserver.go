package main

import (
	"encoding/json"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// startNATS is the role of the NATS server. It says its URL when it is ready.
func startNATS(string) (map[string]op, func(), error) {
	srv, err := embednats.Start(embednats.Options{})
	if err != nil {
		return nil, nil, err
	}
	ready := func(json.RawMessage) (any, error) { return srv.ClientURL(), nil }
	return map[string]op{"ready": ready}, srv.Stop, nil
}
