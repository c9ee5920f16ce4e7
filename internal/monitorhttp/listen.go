package monitorhttp

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// DefaultAddress is where a monitor listens unless it is told otherwise. Nothing beyond this
// machine reaches it, and no other program is known for its port.
const DefaultAddress = "127.0.0.1:7177"

// Listen listens on an address of the form HOST:PORT. Port 0 is a free one.
func Listen(address string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("%q is no address to listen on: it has the form HOST:PORT, such as %s", address, DefaultAddress)
	}
	l, err := net.Listen("tcp", address) //nolint:noctx // an address of this machine
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("another program, perhaps another monitor, listens on %s already: "+
			"end it, or choose another port; port 0 is a free one: %w", address, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen on %s: choose a port of 1024 or more: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("this machine has no address %s: choose one that it has, or 0.0.0.0 for all of them: %w", address, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// ListenDefault listens on DefaultAddress or, if another program does, on a free port of the
// loopback interface.
func ListenDefault() (net.Listener, error) {
	l, err := Listen(DefaultAddress)
	if err == nil {
		return l, nil
	}
	return Listen("127.0.0.1:0")
}

// Loopback tells whether only this machine reaches a listener.
func Loopback(l net.Listener) bool {
	addr, ok := l.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}
