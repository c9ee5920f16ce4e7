package embednats

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Listen picks one of these ports. Systems give higher ones to outgoing connections, which
// could take a port that was just found to be free.
const (
	firstPort = 15000
	lastPort  = 32000
)

// Listen listens on a free port of the loopback interface. Once the listener is closed the
// port stays free for a server, unless another program asks for that very port.
func Listen() (net.Listener, error) {
	var err error
	for range 100 {
		var l net.Listener
		l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(firstPort+rand.N(lastPort-firstPort))) //nolint:noctx // no name is looked up
		if err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no free port from %d to %d: %w", firstPort, lastPort, err)
}
