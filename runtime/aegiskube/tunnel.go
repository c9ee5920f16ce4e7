package aegiskube

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// tunnel is a connection to the port of a pod. What is written to it goes through a pipe, as
// streams of Kubernetes have no deadlines, and NATS's client needs them.
type tunnel struct {
	net.Conn // the near end of the pipe
	pod      pod
	far      net.Conn
	carrier  httpstream.Connection
	once     sync.Once
	problem  string // why it was closed, "" if that is nobody's concern; set before closed is closed
	closed   chan struct{}
}

// openTunnel connects to the port of a pod.
func (c *cluster) openTunnel(ctx context.Context, to pod) (*tunnel, error) {
	carrier, err := c.carrier(ctx, to)
	if err != nil {
		return nil, c.explain(err, "create", "pods/portforward")
	}
	problems, data, err := streams(carrier, to.port)
	if err != nil {
		_ = carrier.Close()
		return nil, fmt.Errorf("aegis kube: the pod %s: %w", to.name, err)
	}
	t := &tunnel{pod: to, carrier: carrier, closed: make(chan struct{})}
	t.Conn, t.far = net.Pipe()
	go t.readProblems(problems)
	go t.carry(t.far, data)
	go t.carry(data, t.far)
	go func() {
		<-carrier.CloseChan()
		t.close("")
	}()
	return t, nil
}

// carrier opens the connection that carries the streams to a pod. The dialers of client-go
// know no context: a connection that comes too late is closed.
func (c *cluster) carrier(ctx context.Context, to pod) (httpstream.Connection, error) {
	dialer, err := c.dialer(to)
	if err != nil {
		return nil, err
	}
	type opened struct {
		conn httpstream.Connection
		err  error
	}
	result := make(chan opened, 1)
	go func() {
		conn, protocol, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		if err == nil && protocol != portforward.PortForwardProtocolV1Name {
			_ = conn.Close()
			err = fmt.Errorf("the API server speaks %q in place of %q", protocol, portforward.PortForwardProtocolV1Name)
		}
		result <- opened{conn, err}
	}()
	select {
	case r := <-result:
		return r.conn, r.err
	case <-ctx.Done():
		go func() {
			if r := <-result; r.err == nil {
				_ = r.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// dialer returns the dialer for the ports of a pod: by WebSocket, and by SPDY where that
// fails.
func (c *cluster) dialer(to pod) (httpstream.Dialer, error) {
	url := c.core.Post().Resource("pods").Namespace(to.namespace).Name(to.name).SubResource("portforward").URL()
	config := rest.CopyConfig(c.config)
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	bySPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	byWebSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(byWebSocket, bySPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// streams opens the two streams of one connection to a port: that of errors, which is read
// only, and that of data.
func streams(carrier httpstream.Connection, port int32) (problems, data httpstream.Stream, err error) {
	header := http.Header{}
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	header.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	header.Set(corev1.PortForwardRequestIDHeader, "0") // one carrier has one connection
	if problems, err = carrier.CreateStream(header); err != nil {
		return nil, nil, err
	}
	_ = problems.Close() // nothing is written to it
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	if data, err = carrier.CreateStream(header); err != nil {
		return nil, nil, err
	}
	return problems, data, nil
}

// readProblems ends the tunnel when the pod's node says that the port cannot be reached.
func (t *tunnel) readProblems(problems io.Reader) {
	text, err := io.ReadAll(io.LimitReader(problems, 4<<10))
	if err == nil && len(text) > 0 {
		t.close(fmt.Sprintf("port %d of the pod %s: %s", t.pod.port, t.pod.name, strings.TrimSpace(string(text))))
	}
}

// carry copies one direction until it ends, and closes the tunnel then.
func (t *tunnel) carry(to io.Writer, from io.Reader) {
	_, _ = io.Copy(to, from)
	t.close("")
}

// Read reads what comes from the pod. The error at the end says why it has come.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if err == nil {
		return n, nil
	}
	select {
	case <-t.closed:
		if t.problem != "" {
			err = fmt.Errorf("aegis kube: %s: %w", t.problem, err)
		}
	default:
	}
	return n, err
}

// LocalAddr returns an address of this machine, of no use to anybody: the proxy's library
// wants one of TCP.
func (t *tunnel) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// RemoteAddr returns the pod.
func (t *tunnel) RemoteAddr() net.Addr { return podAddress(t.pod.String()) }

// podAddress is the address of a port of a pod, for people.
type podAddress string

func (podAddress) Network() string  { return "kubernetes" }
func (a podAddress) String() string { return string(a) }

// Close closes the tunnel.
func (t *tunnel) Close() error {
	t.close("")
	return nil
}

func (t *tunnel) close(problem string) {
	t.once.Do(func() {
		t.problem = problem
		close(t.closed)
		_ = t.Conn.Close()
		_ = t.far.Close()
		_ = t.carrier.Close()
	})
}
