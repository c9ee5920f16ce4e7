package embednats

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// Member is a server's part in a cluster.
type Member struct {
	cluster string
	listen  *net.TCPAddr // for routes
	routes  []*url.URL
}

// Cluster returns the options of servers of these names that form a cluster, each on ports
// of its own and with its files in a folder below storeDir; "" is for a cluster without
// JetStream. The servers can be stopped and started again with their options. All of them
// should be started, one after another: JetStream waits for most of them.
func Cluster(name, storeDir string, servers ...string) ([]Options, error) {
	ports, release, err := free(2 * len(servers))
	if err != nil {
		return nil, err
	}
	defer release() // when none of them can be found twice any more
	clients, listens := ports[:len(servers)], ports[len(servers):]
	var routes []*url.URL
	for _, listen := range listens {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: listen.String()})
	}
	all := make([]Options, len(servers))
	for i, server := range servers {
		all[i] = Options{Port: clients[i].Port, Name: server, Member: &Member{cluster: name, listen: listens[i], routes: routes}}
		if storeDir != "" {
			all[i].StoreDir = filepath.Join(storeDir, server)
		}
	}
	return all, nil
}

// free returns so many free ports, which are held until release is called.
func free(ports int) (found []*net.TCPAddr, release func(), err error) {
	var held []net.Listener
	release = func() {
		for _, l := range held {
			_ = l.Close() // it has accepted nothing
		}
	}
	for range ports {
		l, err := Listen()
		if err != nil {
			release()
			return nil, nil, err
		}
		held = append(held, l)
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			release()
			return nil, nil, fmt.Errorf("%v is no TCP address", l.Addr())
		}
		found = append(found, addr)
	}
	return found, release, nil
}

// join sets the options of a server that is a member of a cluster. Clients learn of no other
// server than the one that they connect to, so that a proxy before it stays between them.
func (m *Member) join(opts *server.Options) {
	opts.Cluster = server.ClusterOpts{Name: m.cluster, Host: m.listen.IP.String(), Port: m.listen.Port, NoAdvertise: true}
	opts.Routes = m.routes
}

// FreePort returns a port of the loopback interface that is free now. A server that is
// stopped can come back to it, unless another program asks for that very port.
func FreePort() (int, error) {
	found, release, err := free(1)
	if err != nil {
		return 0, err
	}
	release()
	return found[0].Port, nil
}
