package inmemory

import (
	"errors"
	"net"
)

// Nowhere is the dialer of a connection that never reaches NATS, because a Memory stands for
// it. That such a connection is down is nothing to tell of.
type Nowhere struct{}

// Dial reaches nothing.
func (Nowhere) Dial(string, string) (net.Conn, error) {
	return nil, errors.New("aegistest: the connection of a Memory does not reach NATS; use aegistest.Connect for what needs NATS")
}
