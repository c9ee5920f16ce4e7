package embednats

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that Listen picks from: below those that systems give to outgoing
// connections, of which one could take a port that was just found to be free.
const (
	firstPort = 15000
	lastPort  = 32000
)

// Listen listens on a free port of the loopback interface that stays free for a
// server, once the listener is closed, unless somebody asks for that very port.
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
