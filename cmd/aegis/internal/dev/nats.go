package dev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// startNATS starts the NATS server of the project, whose files are in state. port is 0 for
// 4222 or, if another program has that, any other.
func startNATS(port int, state string, clean bool) (*embednats.Server, error) {
	store := filepath.Join(state, "nats")
	if clean {
		if err := os.RemoveAll(store); err != nil {
			return nil, fmt.Errorf("delete what NATS has stored: %w", err)
		}
	}
	if err := os.MkdirAll(store, 0o750); err != nil {
		return nil, fmt.Errorf("make the directory of NATS: %w", err)
	}
	defer lockPorts()()
	chosen, err := choosePort(port)
	if err != nil {
		return nil, err
	}
	nats, err := embednats.Start(embednats.Options{Port: chosen, StoreDir: store})
	if err != nil {
		return nil, fmt.Errorf("start NATS on port %d with the files in %s (--clean begins anew): %w", chosen, store, err)
	}
	return nats, nil
}

func choosePort(port int) (int, error) {
	if port != 0 {
		if err := free(port); err != nil {
			return 0, fmt.Errorf("NATS cannot listen on port %d: %w; name another --port, or leave it out for a free one", port, err)
		}
		return port, nil
	}
	if free(defaultPort) == nil {
		return defaultPort, nil
	}
	l, err := embednats.Listen()
	if err != nil {
		return 0, err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok {
		return 0, errors.Join(err, fmt.Errorf("the address %v has no port", l.Addr()))
	}
	return addr.Port, nil
}

// free returns an error if another program listens on a port.
func free(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // no name is looked up
	if err != nil {
		return err
	}
	return l.Close()
}
