package natschart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// Options are those of Start.
type Options struct {
	// Values is the directory with values.yaml and certificates.yaml.
	Values string
	// Dir is where the program is built and the servers have their files.
	Dir string
	// Logs is where the servers write their logs. Default: Dir.
	Logs string
	// LameDuckGrace is how long a server that is told to end waits before it closes the first
	// connection. Default: as the chart has it.
	LameDuckGrace time.Duration
	// Probes are asked as often as the chart has it by default.
	Probes Probes
}

// Cluster is the NATS of a namespace.
type Cluster struct {
	// Values are those of values.yaml.
	Values *Values
	// Secrets have the certificate, and the users that values.yaml names with their passwords.
	Secrets map[string]map[string][]byte
	// Servers are those of the StatefulSet, by their ordinals.
	Servers []*Server

	certificates string
	service      *service
}

// Start starts the servers and returns when all are ready. The caller stops them.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if c.service, err = startService(c.ready); err != nil {
		return nil, err
	}
	for _, s := range c.Servers {
		if err := s.start(); err != nil {
			c.Stop()
			return nil, err
		}
	}
	for _, s := range c.Servers {
		if err := s.AwaitReady(ctx); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// Address is the address of the Service.
func (c *Cluster) Address() string { return c.service.listener.Addr().String() }

// CA is the file with the authority that the certificate of the servers is from.
func (c *Cluster) CA() string { return filepath.Join(c.certificates, "ca.crt") }

// Stop ends all at once.
func (c *Cluster) Stop() {
	for _, s := range c.Servers {
		s.stop()
	}
	c.service.stop()
}

// ready returns the addresses that the Service has.
func (c *Cluster) ready() (addresses []string) {
	for _, s := range c.Servers {
		if s.isReady() {
			addresses = append(addresses, s.address)
		}
	}
	return addresses
}

// prepare makes all that the servers need.
func prepare(ctx context.Context, o Options) (*Cluster, error) {
	if o.LameDuckGrace == 0 {
		o.LameDuckGrace = lameDuckGrace
	}
	if o.Logs == "" {
		o.Logs = o.Dir
	}
	if o.Probes == (Probes{}) {
		o.Probes = ChartProbes
	}
	program := filepath.Join(o.Dir, "nats-server")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil { //nolint:gosec // it is the path of a file
		return nil, fmt.Errorf("build nats-server: %w: %s", err, out)
	}
	v, err := ReadValues(o.Values)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Values: v, Secrets: map[string]map[string][]byte{}, certificates: filepath.Join(o.Dir, "certificates")}
	if err := c.issue(o.Values); err != nil {
		return nil, err
	}
	env, err := c.environment()
	if err != nil {
		return nil, err
	}
	return c, c.place(o, program, env)
}

// issue makes the certificate of certificates.yaml, as a Secret and as files.
func (c *Cluster) issue(dir string) error {
	certificate, err := ReadCertificate(dir, c.Values)
	if err != nil {
		return err
	}
	data, err := certificate.Issue()
	if err != nil {
		return err
	}
	c.Secrets[certificate.SecretName] = data
	errs := []error{os.MkdirAll(c.certificates, 0o700)}
	for name, text := range data {
		errs = append(errs, os.WriteFile(filepath.Join(c.certificates, name), text, 0o600))
	}
	return errors.Join(errs...)
}

// environment returns the variables of the servers' containers, and makes the Secrets that some are from,
// as the comment of values.yaml says.
func (c *Cluster) environment() ([]string, error) {
	env := []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range c.Values.Container.Env {
		var text string
		if json.Unmarshal(value, &text) == nil {
			env = append(env, name+"="+text)
			continue
		}
		var from corev1.EnvVar
		if err := json.Unmarshal(value, &from); err != nil || from.ValueFrom == nil || from.ValueFrom.SecretKeyRef == nil {
			return nil, fmt.Errorf("container.env: %s is neither a text nor from a Secret", name)
		}
		secret := from.ValueFrom.SecretKeyRef
		user := strings.TrimPrefix(secret.Name, "nats-")
		c.Secrets[secret.Name] = map[string][]byte{"username": []byte(user), "password": fmt.Appendf(nil, "p%x", user+"-123")}
		env = append(env, name+"="+string(c.Secrets[secret.Name][secret.Key]))
	}
	return env, nil
}

// place finds ports for the servers and writes their configurations.
func (c *Cluster) place(o Options, program string, env []string) error {
	n := c.Values.Config.Cluster.Replicas
	ports, err := freePorts(3 * n)
	if err != nil {
		return err
	}
	for i := range n {
		dir := filepath.Join(o.Dir, "nats-"+strconv.Itoa(i))
		s := &Server{
			Name: filepath.Base(dir), dir: dir, program: program, log: filepath.Join(o.Logs, filepath.Base(dir)+".log"), env: env, probes: o.Probes,
			address: "127.0.0.1:" + strconv.Itoa(ports[n+i]), monitor: "http://127.0.0.1:" + strconv.Itoa(ports[2*n+i]),
		}
		conf, err := c.Values.Conf(Place{
			Name: s.Name, Certificates: c.certificates, Store: filepath.Join(dir, "jetstream"), PID: s.pidFile(),
			Routes: ports[i], Client: ports[n+i], Monitor: ports[2*n+i], Peers: slices.Clip(ports[:n]), LameDuckGrace: o.LameDuckGrace,
		})
		if err := errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "nats.conf"), []byte(conf), 0o600)); err != nil {
			return err
		}
		c.Servers = append(c.Servers, s)
	}
	return nil
}

// freePorts returns ports that are free, no two of them the same.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := embednats.Listen()
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // it was only listened on
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
