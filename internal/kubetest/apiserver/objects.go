package apiserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// scheme knows the types that the server has.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	metav1.AddToGroupVersion(s, metav1.SchemeGroupVersion)
	return s
}

// encode returns an object as JSON, with its kind and version.
func encode(object runtime.Object) []byte {
	codecs := serializer.NewCodecFactory(scheme())
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	encoder := codecs.EncoderForVersion(info.Serializer, runtime.InternalGroupVersioner)
	switch object.(type) {
	case *metav1.Status:
		encoder = codecs.EncoderForVersion(info.Serializer, metav1.Unversioned)
	case *discoveryv1.EndpointSlice, *discoveryv1.EndpointSliceList:
		encoder = codecs.EncoderForVersion(info.Serializer, discoveryv1.SchemeGroupVersion)
	case *corev1.Service, *corev1.ServiceList, *corev1.Secret:
		encoder = codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion)
	}
	data, err := runtime.Encode(encoder, object)
	if err != nil {
		panic(err)
	}
	return data
}

func write(w http.ResponseWriter, code int, object runtime.Object) {
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(code)
	_, _ = w.Write(encode(object))
}

func fail(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	write(w, int(status.Code), &status)
}

func (s *Server) listServices(namespace string) *corev1.ServiceList {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.revision)}}
	for _, one := range s.services {
		if one.Namespace == namespace {
			list.Items = append(list.Items, *one)
		}
	}
	return list
}

func (s *Server) listSlices(namespace, selector string) *discoveryv1.EndpointSliceList {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &discoveryv1.EndpointSliceList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.revision)}}
	for _, one := range s.slices {
		if selects(one, namespace, selector) {
			list.Items = append(list.Items, *one)
		}
	}
	return list
}

func selects(one *discoveryv1.EndpointSlice, namespace, selector string) bool {
	key, value, _ := strings.Cut(selector, "=")
	return one.Namespace == namespace && (selector == "" || one.Labels[key] == value)
}

// watch tells the changes of slices since a revision, until the client goes.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, namespace string) {
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(http.StatusOK)
	for {
		_ = http.NewResponseController(w).Flush()
		s.mu.Lock()
		changed, history := s.changed, s.history
		s.mu.Unlock()
		for _, e := range history {
			if e.revision <= since || !selects(e.slice, namespace, r.URL.Query().Get("labelSelector")) {
				continue
			}
			since = e.revision
			_ = json.NewEncoder(w).Encode(map[string]json.RawMessage{"type": json.RawMessage(fmt.Sprintf("%q", e.kind)), "object": encode(e.slice)})
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}
