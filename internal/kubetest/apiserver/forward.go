package apiserver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	machineryproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// forward passes the ports of a pod on to the node, by SPDY, as API servers do: a WebSocket
// is a tunnel for SPDY.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, q request) {
	s.mu.Lock()
	p, noSocket := s.pods[q.namespace+"/"+q.name], s.noSocket
	s.mu.Unlock()
	if p == nil {
		fail(w, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, q.name))
		return
	}
	node, err := url.Parse(s.node.URL)
	if err != nil {
		fail(w, apierrors.NewInternalError(err))
		return
	}
	node.Path = "/" + q.namespace + "/" + q.name
	toNode := machineryproxy.NewUpgradeAwareHandler(node, nil, false, true, responder{})
	switch socket := wsstream.IsWebSocketRequest(r); {
	case !socket:
		s.count("SPDY")
		toNode.ServeHTTP(w, r)
	case noSocket: // as an old one says
		http.Error(w, "unable to upgrade: you must specify at least 1 'port' query parameter", http.StatusBadRequest)
	default:
		s.count("WebSocket")
		proxy.NewTunnelingHandler(toNode).ServeHTTP(w, r)
	}
}

// responder tells the client why the node cannot be reached.
type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	fail(w, apierrors.NewInternalError(err))
}

// serveNode is the node: it serves the ports of its pods with the code that kubelets run.
func (s *Server) serveNode(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	p := s.pods[strings.TrimPrefix(r.URL.Path, "/")]
	s.mu.Unlock()
	if p == nil {
		http.Error(w, "no such pod", http.StatusNotFound)
		return
	}
	portforward.ServePortForward(w, r, p, r.URL.Path, "", nil, idle, 30*time.Second, []string{"portforward.k8s.io"})
}

func (s *Server) count(protocol string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forwards[protocol]++
}

// PortForward copies between a stream and what stands behind the pod, until either ends or
// the pod is gone.
func (p *pod) PortForward(_ context.Context, name, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := (&net.Dialer{}).DialContext(p.gone, "tcp", p.address)
	if err != nil {
		return fmt.Errorf("failed to connect to port %d of %s: %w", port, name, err)
	}
	defer stream.Close() //nolint:errcheck // it is over
	defer conn.Close()   //nolint:errcheck // it is over
	ended := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(conn, stream); ended <- struct{}{} }()
	go func() { _, _ = io.Copy(stream, conn); ended <- struct{}{} }()
	select {
	case <-ended:
	case <-p.gone.Done():
	}
	return nil
}
