package aegiskube

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// pod is a pod of a service, and its port for clients of NATS.
type pod struct {
	namespace, name string
	addresses       []string
	port            int32
}

func (p pod) String() string {
	return "pod/" + p.namespace + "/" + p.name + ":" + strconv.Itoa(int(p.port))
}

// readyPods returns the pods of the service that are ready.
func (c *cluster) readyPods(ctx context.Context, s service) ([]pod, error) {
	list, err := c.slices(ctx, s)
	if err != nil {
		return nil, c.explain(err, "list", "endpointslices")
	}
	return podsOf(list.Items, s), nil
}

// slices returns the slices of the service, in which its pods are.
func (c *cluster) slices(ctx context.Context, s service) (*discoveryv1.EndpointSliceList, error) {
	var list discoveryv1.EndpointSliceList
	ctx, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	return &list, c.ofService(s).Do(ctx).Into(&list)
}

// ofService begins a request for the slices of the service.
func (c *cluster) ofService(s service) *rest.Request {
	return c.discovery.Get().Namespace(s.namespace).Resource("endpointslices").
		Param("labelSelector", discoveryv1.LabelServiceName+"="+s.name)
}

// podsOf returns the ready pods in a service's slices.
func podsOf(all []discoveryv1.EndpointSlice, s service) []pod {
	var pods []pod
	for _, slice := range all {
		port, ok := portOf(slice.Ports, s)
		if !ok {
			continue
		}
		for _, e := range slice.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			if !ready || e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
				continue
			}
			pods = append(pods, pod{namespace: s.namespace, name: e.TargetRef.Name, addresses: e.Addresses, port: port})
		}
	}
	return pods
}

// portOf returns the port of the pods for the service's port.
func portOf(ports []discoveryv1.EndpointPort, s service) (int32, bool) {
	for _, p := range ports {
		if p.Port != nil && (p.Name == nil && s.port.Name == "" || p.Name != nil && *p.Name == s.port.Name) {
			return *p.Port, true
		}
	}
	return 0, false
}

// choose returns the pod to connect to: the one with the address, else one that is not the
// last one, if there are several.
func choose(pods []pod, address, last string, s service) (pod, error) {
	if len(pods) == 0 {
		return pod{}, noService("the service %s in the namespace %s has no pod that is ready", s.name, s.namespace)
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		if i := slices.IndexFunc(pods, func(p pod) bool { return slices.Contains(p.addresses, host) }); i >= 0 {
			return pods[i], nil
		}
	}
	others := slices.DeleteFunc(slices.Clone(pods), func(p pod) bool { return p.name == last })
	if len(others) == 0 {
		others = pods
	}
	return others[rand.IntN(len(others))], nil
}

// watchAgain is how long a watch that has ended is not begun anew.
const watchAgain = time.Second

// leaveLostPods closes the connections to pods that are gone from the service, until the
// way is closed: what is behind a connection may be gone without a word, as with a node
// that was lost. A pod that is only not ready keeps its connections, as NATS itself moves
// its clients before it stops.
func (f *Forward) leaveLostPods() {
	for f.ctx.Err() == nil {
		if err := f.watchPods(f.clusterNow()); isForbidden(err) {
			return // connections that end are noticed all the same
		}
		select {
		case <-f.ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}

// watchPods follows the slices of the service until the watch ends.
func (f *Forward) watchPods(c *cluster) error {
	list, err := c.slices(f.ctx, f.service)
	if err != nil {
		return err
	}
	known := make(map[string]discoveryv1.EndpointSlice, len(list.Items))
	for _, slice := range list.Items {
		known[slice.Name] = slice
	}
	f.leave(known)
	w, err := c.ofService(f.service).Param("resourceVersion", list.ResourceVersion).Param("watch", "true").Watch(f.ctx)
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		slice, ok := event.Object.(*discoveryv1.EndpointSlice)
		switch {
		case !ok:
			return nil // an error, such as a resource version that is too old
		case event.Type == watch.Deleted:
			delete(known, slice.Name)
		default:
			known[slice.Name] = *slice
		}
		f.leave(known)
	}
	return nil
}

// leave closes the connections to pods that are in none of the slices.
func (f *Forward) leave(known map[string]discoveryv1.EndpointSlice) {
	there := make(map[string]bool)
	for _, slice := range known {
		for _, e := range slice.Endpoints {
			if e.TargetRef != nil {
				there[e.TargetRef.Name] = true
			}
		}
	}
	f.closeTunnels(func(t *tunnel) bool { return !there[t.pod.name] })
}
