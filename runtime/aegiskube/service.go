package aegiskube

import (
	"context"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	// markNATS marks the service of NATS, as an annotation or a label with the value "true".
	markNATS = "aegisrpc.github.io/nats"
	// nameLabel is what NATS's Helm chart labels its services with.
	nameLabel = "app.kubernetes.io/name"
	// nameNATS is the name of NATS there, and of services and ports that have none of their own.
	nameNATS = "nats"
	// natsPort is the port of NATS for clients.
	natsPort = 4222
)

// service is a service of NATS.
type service struct {
	namespace, name string
	port            corev1.ServicePort
}

// host returns the name of the service within the cluster.
func (s service) host() string { return s.name + "." + s.namespace + ".svc" }

func (s service) portText() string { return strconv.Itoa(int(s.port.Port)) }

// findService returns the service of this name or, for "", the one of NATS.
func (c *cluster) findService(ctx context.Context, name string) (service, error) {
	if name != "" {
		var one corev1.Service
		err := c.core.Get().Namespace(c.namespace).Resource("services").Name(name).Do(ctx).Into(&one)
		if isNotFound(err) {
			return service{}, noService("there is no service %s in the namespace %s of %s", name, c.namespace, c)
		}
		if err != nil {
			return service{}, c.explain(err, "get", "services")
		}
		return c.withPort(&one)
	}
	var all corev1.ServiceList
	if err := c.core.Get().Namespace(c.namespace).Resource("services").Do(ctx).Into(&all); err != nil {
		return service{}, c.explain(err, "list", "services")
	}
	found := candidates(all.Items)
	switch len(found) {
	case 0:
		return service{}, noService("no service in the namespace %s of %s is one of NATS: none has the annotation or label %s: \"true\", "+
			"the label %s: nats or the name nats; name the service, or another namespace", c.namespace, c, markNATS, nameLabel)
	case 1:
		return c.withPort(&found[0])
	}
	names := make([]string, len(found))
	for i := range found {
		names[i] = found[i].Name
	}
	slices.Sort(names)
	return service{}, noService("several services in the namespace %s of %s are of NATS: %s; name one of them", c.namespace, c, strings.Join(names, ", "))
}

// candidates returns the services of NATS: those that are marked, else those that are
// labelled, else the one that is named so.
func candidates(all []corev1.Service) []corev1.Service {
	for _, is := range []func(*corev1.Service) bool{
		func(s *corev1.Service) bool { return s.Annotations[markNATS] == "true" || s.Labels[markNATS] == "true" },
		func(s *corev1.Service) bool { return s.Labels[nameLabel] == nameNATS },
		func(s *corev1.Service) bool { return s.Name == nameNATS },
	} {
		var found []corev1.Service
		for i := range all {
			if _, ok := clientPort(&all[i]); ok && is(&all[i]) {
				found = append(found, all[i])
			}
		}
		if len(found) > 0 {
			return withoutHeadless(found)
		}
	}
	return nil
}

// withoutHeadless leaves out the headless services, which NATS has beside another one for
// its own routes, unless there are no others.
func withoutHeadless(all []corev1.Service) []corev1.Service {
	headless := func(s corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }
	if others := slices.DeleteFunc(slices.Clone(all), headless); len(others) > 0 {
		return others
	}
	return all
}

// clientPort returns the port for clients of NATS: the one named "nats" or "client", else 4222,
// else the only one.
func clientPort(s *corev1.Service) (corev1.ServicePort, bool) {
	for _, is := range []func(corev1.ServicePort) bool{
		func(p corev1.ServicePort) bool { return p.Name == nameNATS || p.Name == "client" },
		func(p corev1.ServicePort) bool { return p.Port == natsPort },
		func(corev1.ServicePort) bool { return len(s.Spec.Ports) == 1 },
	} {
		if i := slices.IndexFunc(s.Spec.Ports, is); i >= 0 {
			return s.Spec.Ports[i], true
		}
	}
	return corev1.ServicePort{}, false
}

func (c *cluster) withPort(s *corev1.Service) (service, error) {
	port, ok := clientPort(s)
	if !ok {
		return service{}, noService("the service %s in the namespace %s of %s has no port that is named nats or client, or is %d",
			s.Name, c.namespace, c, natsPort)
	}
	return service{namespace: c.namespace, name: s.Name, port: port}, nil
}
