// Package apiserver is an API server of Kubernetes for tests: it has services, their slices,
// secrets and pods, users with tokens and rights, and forwards ports of pods with the code
// of Kubernetes itself, by SPDY and by WebSocket. What stands behind a pod is an address on
// this machine.
package apiserver

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Server is a running API server. It is safe for concurrent use.
type Server struct {
	http *httptest.Server
	node *httptest.Server // that all pods run on

	mu       sync.Mutex // guards the rest
	changed  chan struct{}
	revision int
	services map[string]*corev1.Service // by namespace/name, as all that follow
	slices   map[string]*discoveryv1.EndpointSlice
	secrets  map[string]*corev1.Secret
	history  []event
	pods     map[string]*pod
	users    map[string]*User // by token
	noSocket bool
	forwards map[string]int // how many were opened, by protocol
}

// User is who a token belongs to.
type User struct {
	Name string
	// Denied are the rights that the user lacks, each as "VERB RESOURCE".
	Denied []string
}

// event is a change of a slice.
type event struct {
	revision int
	kind     string
	slice    *discoveryv1.EndpointSlice
}

// pod is what stands behind a pod.
type pod struct {
	address string
	gone    context.Context //nolint:containedctx // it ends with the pod
	end     context.CancelFunc
}

// Start starts an API server without any objects. Close ends it.
func Start() *Server {
	s := &Server{
		changed: make(chan struct{}), revision: 1,
		services: map[string]*corev1.Service{}, slices: map[string]*discoveryv1.EndpointSlice{}, secrets: map[string]*corev1.Secret{},
		pods: map[string]*pod{}, users: map[string]*User{}, forwards: map[string]int{},
	}
	s.http = httptest.NewTLSServer(s)
	s.node = httptest.NewServer(http.HandlerFunc(s.serveNode))
	return s
}

// Close ends the server, and with it all that it forwards.
func (s *Server) Close() {
	s.mu.Lock()
	for _, p := range s.pods {
		p.end()
	}
	s.mu.Unlock()
	for _, server := range []*httptest.Server{s.http, s.node} {
		server.CloseClientConnections()
		server.Close()
	}
}

// Kubeconfig returns a kubeconfig with one context, "test", for the user with a token.
func (s *Server) Kubeconfig(token, namespace string) ([]byte, error) {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate().Raw})
	config := api.NewConfig()
	config.Clusters["test"] = &api.Cluster{Server: s.http.URL, CertificateAuthorityData: ca}
	config.AuthInfos["developer"] = &api.AuthInfo{Token: token}
	config.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "developer", Namespace: namespace}
	config.CurrentContext = "test"
	return clientcmd.Write(*config)
}

func (s *Server) certificate() *x509.Certificate { return s.http.Certificate() }

// PutUser lets a user in by a token; with nil the token has expired.
func (s *Server) PutUser(token string, user *User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if user == nil {
		delete(s.users, token)
		return
	}
	s.users[token] = user
}

// WithoutWebSockets has the server forward ports by SPDY alone, as an old one does.
func (s *Server) WithoutWebSockets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noSocket = true
}

// Forwards returns how many connections to pods were opened by a protocol, "SPDY" or
// "WebSocket".
func (s *Server) Forwards(protocol string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forwards[protocol]
}

// PutService adds or changes a service.
func (s *Server) PutService(one *corev1.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[one.Namespace+"/"+one.Name] = one
}

// PutSecret adds or changes a Secret.
func (s *Server) PutSecret(one *corev1.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[one.Namespace+"/"+one.Name] = one
}

// PutPod adds a pod, which has an address of this machine behind it, whatever the port.
func (s *Server) PutPod(namespace, name, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone, end := context.WithCancel(context.Background())
	s.pods[namespace+"/"+name] = &pod{address: address, gone: gone, end: end}
}

// RemovePod removes a pod. With closes, the connections to it end; else nobody hears of it,
// as when a node is lost.
func (s *Server) RemovePod(namespace, name string, closes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pods[namespace+"/"+name]; p != nil && closes {
		p.end()
	}
	delete(s.pods, namespace+"/"+name)
}

// PutSlice adds or changes a slice of a service.
func (s *Server) PutSlice(one *discoveryv1.EndpointSlice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, kind := one.Namespace+"/"+one.Name, "ADDED"
	if s.slices[key] != nil {
		kind = "MODIFIED"
	}
	s.revision++
	one = one.DeepCopy()
	one.ResourceVersion = fmt.Sprint(s.revision)
	one.SetGroupVersionKind(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"))
	s.slices[key] = one
	s.history = append(s.history, event{s.revision, kind, one})
	close(s.changed)
	s.changed = make(chan struct{})
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var group string
	switch {
	case len(path) >= 5 && path[0] == "api" && path[2] == "namespaces":
		path = path[3:]
	case len(path) >= 6 && path[0] == "apis" && path[3] == "namespaces":
		group, path = path[1], path[4:]
	default:
		fail(w, apierrors.NewNotFound(schema.GroupResource{}, r.URL.Path))
		return
	}
	namespace, resource := path[0], path[1]
	name := ""
	if len(path) > 2 {
		name = path[2]
	}
	if len(path) > 3 {
		resource += "/" + path[3]
	}
	if err := s.admit(r, group, resource, name); err != nil {
		fail(w, err)
		return
	}
	s.answer(w, r, request{namespace, group, resource, name})
}

// request is what a request is about.
type request struct{ namespace, group, resource, name string }

// admit returns an error unless the user of the request may do that.
func (s *Server) admit(r *http.Request, group, resource, name string) *apierrors.StatusError {
	s.mu.Lock()
	user := s.users[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	s.mu.Unlock()
	if user == nil {
		return apierrors.NewUnauthorized("Unauthorized")
	}
	verb := verbOf(r, resource, name)
	if slices.Contains(user.Denied, verb+" "+resource) {
		return apierrors.NewForbidden(schema.GroupResource{Group: group, Resource: resource}, name,
			fmt.Errorf("User %q cannot %s resource %q in API group %q", user.Name, verb, resource, group)) //nolint:staticcheck // as Kubernetes says it
	}
	return nil
}

// verbOf returns the verb that a request is checked for. A WebSocket is opened with GET, and
// checked for create, since Kubernetes 1.35.
func verbOf(r *http.Request, resource, name string) string {
	switch {
	case strings.Contains(resource, "/"), r.Method == http.MethodPost:
		return "create"
	case r.URL.Query().Get("watch") == "true":
		return "watch"
	case name == "":
		return "list"
	}
	return "get"
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, q request) {
	key := q.namespace + "/" + q.name
	switch {
	case q.resource == "pods/portforward":
		s.forward(w, r, q)
	case q.resource == "services" && q.name == "":
		write(w, http.StatusOK, s.listServices(q.namespace))
	case q.resource == "services":
		one(w, s, s.services, key, q)
	case q.resource == "secrets" && q.name != "":
		one(w, s, s.secrets, key, q)
	case q.resource == "endpointslices" && r.URL.Query().Get("watch") == "true":
		s.watch(w, r, q.namespace)
	case q.resource == "endpointslices":
		write(w, http.StatusOK, s.listSlices(q.namespace, r.URL.Query().Get("labelSelector")))
	default:
		fail(w, apierrors.NewNotFound(schema.GroupResource{Group: q.group, Resource: q.resource}, q.name))
	}
}

// one answers with an object.
func one[T interface {
	comparable
	runtime.Object
}](w http.ResponseWriter, s *Server, all map[string]T, key string, q request) {
	s.mu.Lock()
	object := all[key]
	s.mu.Unlock()
	var none T
	if object == none {
		fail(w, apierrors.NewNotFound(schema.GroupResource{Group: q.group, Resource: q.resource}, q.name))
		return
	}
	write(w, http.StatusOK, object)
}

// idle is for how long a forwarded connection may be silent, as in Kubernetes.
const idle = 4 * time.Hour
