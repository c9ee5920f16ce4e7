package aegiskube

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// loadCluster reads the kubeconfig, and returns the cluster that is meant. It asks nobody.
func (s Settings) loadCluster() (*cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = s.Kubeconfig
	rules.WarnIfAllMissing = false
	overrides := &clientcmd.ConfigOverrides{CurrentContext: s.Context}
	overrides.Context.Namespace = s.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, noCluster("the kubeconfig cannot be read: %w", err)
	}
	name := cmp.Or(s.Context, raw.CurrentContext)
	if err := checkContext(&raw, name, s, rules); err != nil {
		return nil, err
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, noCluster("the context %s of the kubeconfig cannot be used: %w", name, err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, noCluster("the context %s of the kubeconfig cannot be used: %w", name, err)
	}
	c := &cluster{config: config, context: name, user: raw.Contexts[name].AuthInfo, namespace: namespace, settings: s}
	if c.core, err = groupClient(config, "/api", corev1.SchemeGroupVersion); err == nil {
		c.discovery, err = groupClient(config, "/apis", discoveryv1.SchemeGroupVersion)
	}
	if err != nil {
		return nil, noCluster("the context %s of the kubeconfig cannot be used: %w", name, err)
	}
	return c, nil
}

// checkContext returns an error if there is no such context.
func checkContext(raw *api.Config, name string, s Settings, rules *clientcmd.ClientConfigLoadingRules) error {
	files := strings.Join(rules.Precedence, ", ")
	if s.Kubeconfig != "" {
		files = s.Kubeconfig
	}
	contexts := slices.Sorted(maps.Keys(raw.Contexts))
	switch {
	case len(contexts) == 0:
		return noCluster("there is no kubeconfig with a context at %s; set KUBECONFIG, or log in to the cluster with its own tool", files)
	case name == "":
		return noCluster("the kubeconfig has no current context; name one of: %s", strings.Join(contexts, ", "))
	case raw.Contexts[name] == nil:
		return noCluster("the kubeconfig has no context %q; it has: %s", name, strings.Join(contexts, ", "))
	}
	return nil
}

// groupClient returns a client of one API group. The generated clients of client-go would
// link the types of all groups, which cost a program tens of megabytes.
func groupClient(config *rest.Config, path string, version schema.GroupVersion) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("scheme: %w", err)
		}
	}
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	own := rest.CopyConfig(config)
	own.APIPath, own.GroupVersion = path, &version
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	own.UserAgent = "aegis"
	return rest.RESTClientFor(own)
}
