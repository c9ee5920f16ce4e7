// Package container makes, of a pod's manifest, the command that runs its program on this machine:
// with the arguments, the variables and the files that the kubelet would give it, but for ports and
// folders, which are free ones.
package container

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/kubetest/manifests"
)

// Namespace is that of the manifests.
const Namespace = "shop"

// Pod is what a container gets to know of its pod.
type Pod struct {
	Template         corev1.PodTemplateSpec
	Name, Node, Zone string
	// Objects have the ConfigMaps of the volumes.
	Objects []manifests.Object
	// Secrets are those of the namespace, by their names.
	Secrets map[string]map[string][]byte
}

// Command is how a program is run as the only container of a pod.
type Command struct {
	*exec.Cmd
	// Spec is that of the container.
	Spec corev1.Container
	// Addresses are where the program listens, by the names of the ports.
	Addresses map[string]string
}

// Command makes the folders of the volumes below dir.
func (p Pod) Command(program, dir string) (*Command, error) {
	c := &Command{Spec: p.Template.Spec.Containers[0], Addresses: map[string]string{}}
	files, err := p.mount(c.Spec, dir)
	if err != nil {
		return nil, err
	}
	env, err := p.environment(c.Spec)
	if err != nil {
		return nil, err
	}
	args := slices.Clone(c.Spec.Args)
	for i, arg := range args {
		if arg, err = c.listen(expanded(arg, env)); err != nil {
			return nil, err
		}
		args[i] = files.Replace(arg)
	}
	if len(c.Addresses) != len(c.Spec.Ports) {
		return nil, errors.New("a port is in no argument")
	}
	c.Cmd = exec.Command(program, args...) //nolint:gosec,noctx // it is ended by a signal
	c.Env = []string{"KUBERNETES_SERVICE_HOST=10.96.0.1", "AEGIS_PODINFO=" + files.Replace("/etc/podinfo")}
	for key, value := range env {
		c.Env = append(c.Env, key+"="+files.Replace(value))
	}
	return c, nil
}

// environment returns the variables of a container.
func (p Pod) environment(spec corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, e := range spec.Env {
		if _, twice := env[e.Name]; twice {
			return nil, fmt.Errorf("the variable %s is there twice", e.Name)
		}
		value, err := p.value(e)
		if err != nil {
			return nil, fmt.Errorf("the variable %s: %w", e.Name, err)
		}
		env[e.Name] = value
	}
	return env, nil
}

func (p Pod) value(e corev1.EnvVar) (string, error) {
	switch {
	case e.ValueFrom == nil:
		return e.Value, nil
	case e.ValueFrom.SecretKeyRef != nil:
		return p.secret(e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key)
	case e.ValueFrom.FieldRef == nil:
		return "", errors.New("it is neither from a Secret nor from a field")
	}
	fields := map[string]string{"metadata.name": p.Name, "metadata.namespace": Namespace, "spec.nodeName": p.Node}
	value, ok := fields[e.ValueFrom.FieldRef.FieldPath]
	if !ok {
		return "", fmt.Errorf("no field %s", e.ValueFrom.FieldRef.FieldPath)
	}
	return value, nil
}

func (p Pod) secret(name, key string) (string, error) {
	value, ok := p.Secrets[name][key]
	if !ok {
		return "", fmt.Errorf("no Secret %s with %s", name, key)
	}
	return string(value), nil
}

// expanded replaces $(NAME) as the kubelet does.
func expanded(arg string, env map[string]string) string {
	for key, value := range env {
		arg = strings.ReplaceAll(arg, "$("+key+")", value)
	}
	return arg
}

// listen replaces the port in an argument by one that is free.
func (c *Command) listen(arg string) (string, error) {
	for _, p := range c.Spec.Ports {
		before, ok := strings.CutSuffix(arg, fmt.Sprintf("=:%d", p.ContainerPort))
		if !ok {
			continue
		}
		l, err := embednats.Listen()
		if err != nil {
			return "", err
		}
		c.Addresses[p.Name] = l.Addr().String()
		return fmt.Sprintf("%s=:%d", before, l.Addr().(*net.TCPAddr).Port), l.Close()
	}
	return arg, nil
}

// mount makes the volumes of a pod, and returns what replaces their paths by those of a folder.
func (p Pod) mount(spec corev1.Container, dir string) (*strings.Replacer, error) {
	var replace []string
	for _, m := range spec.VolumeMounts {
		files, err := p.volume(m.Name)
		if err != nil {
			return nil, fmt.Errorf("the volume %s: %w", m.Name, err)
		}
		at := filepath.Join(dir, m.MountPath)
		errs := []error{os.MkdirAll(at, 0o750)}
		for name, text := range files {
			errs = append(errs, os.WriteFile(filepath.Join(at, name), text, 0o600))
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		replace = append(replace, m.MountPath, at)
	}
	return strings.NewReplacer(replace...), nil
}

// volume returns the files of a volume.
func (p Pod) volume(name string) (map[string][]byte, error) {
	all := p.Template.Spec.Volumes
	i := slices.IndexFunc(all, func(v corev1.Volume) bool { return v.Name == name })
	switch {
	case i < 0:
		return nil, errors.New("the pod does not have it")
	case all[i].ConfigMap != nil:
		return p.configMap(all[i].ConfigMap.Name)
	case all[i].Secret != nil:
		return p.items(all[i].Secret)
	case all[i].DownwardAPI != nil:
		return p.labels(all[i].DownwardAPI)
	}
	return nil, errors.New("it is of a kind that cannot be made here")
}

func (p Pod) configMap(name string) (map[string][]byte, error) {
	m, err := manifests.Named[*corev1.ConfigMap](p.Objects, name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, text := range m.Data {
		files[name] = []byte(text)
	}
	return files, nil
}

func (p Pod) items(s *corev1.SecretVolumeSource) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, item := range s.Items {
		text, err := p.secret(s.SecretName, item.Key)
		if err != nil {
			return nil, err
		}
		files[item.Path] = []byte(text)
	}
	return files, nil
}

// labels returns the file with the labels of the pod, to which Kubernetes adds its zone.
func (p Pod) labels(d *corev1.DownwardAPIVolumeSource) (map[string][]byte, error) {
	if len(d.Items) != 1 || d.Items[0].FieldRef.FieldPath != "metadata.labels" {
		return nil, errors.New("it has more than labels")
	}
	labels := maps.Clone(p.Template.Labels)
	labels["topology.kubernetes.io/zone"] = p.Zone
	var text []byte
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		text = fmt.Appendf(text, "%s=%q\n", key, labels[key])
	}
	return map[string][]byte{d.Items[0].Path: text}, nil
}
