package cli

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
	"github.com/aegisrpc/aegis/runtime/aegiskube"
)

// kube is the way to the NATS of a Kubernetes cluster, if --kube is given.
type kube struct {
	on       bool
	settings aegiskube.Settings
	forward  *aegiskube.Forward // nil until NATS is connected to for the first time
}

const (
	flagKube          = "kube"
	flagKubeContext   = "kube-context"
	flagKubeNamespace = "kube-namespace"
	flagNATSService   = "nats-service"
	flagNATSSecret    = "nats-secret"
)

// bindKube defines the flags that lead into a cluster.
func (a *App) bindKube(c *cobra.Command) {
	f := c.PersistentFlags()
	f.BoolVar(&a.kube.on, flagKube, false, "use the NATS of a Kubernetes cluster: forward a port to it, as the kubeconfig says")
	f.StringVar(&a.kube.settings.Context, flagKubeContext, "", "context of the kubeconfig, with --kube (default: the current one)")
	f.StringVar(&a.kube.settings.Namespace, flagKubeNamespace, "", "namespace of Kubernetes that NATS is in, with --kube (default: that of the context)")
	f.StringVar(&a.kube.settings.Service, flagNATSService, "", "service of NATS, with --kube (default: the one with the label app.kubernetes.io/name=nats)")
	f.StringVar(&a.kube.settings.Secret, flagNATSSecret, "", "Secret with the credentials of a NATS user, NAME or NAME/KEY, with --kube (default: none)")
	for _, name := range KubeFlags() {
		belongs(f, name, forLink)
	}
}

// KubeFlags returns the names of the flags that lead into a cluster.
func KubeFlags() []string {
	return []string{flagKube, flagKubeContext, flagKubeNamespace, flagNATSService, flagNATSSecret}
}

// checkKube refuses flags that would do nothing, and two flags that contradict each other.
func (a *App) checkKube(f *pflag.FlagSet) error {
	if !a.kube.on {
		for _, name := range KubeFlags() {
			if f.Changed(name) && name != flagKube {
				return Usagef("--%s is for the NATS of a cluster: give --kube as well", name)
			}
		}
		return nil
	}
	for _, name := range []string{"server", "context", "socks-proxy"} {
		if f.Changed(name) {
			return Usagef("--kube and --%s: both say where NATS is; leave one of them out", name)
		}
	}
	for _, name := range userFlags() {
		if f.Changed(flagNATSSecret) && f.Changed(name) {
			return Usagef("--%s and --%s: both say who the user is; leave one of them out", flagNATSSecret, name)
		}
	}
	return nil
}

// userFlags are the flags that say who the user of NATS is.
func userFlags() []string {
	return []string{"user", "password", "token", "creds", "nkey", "jwt", "seed"}
}

// InCluster tells whether NATS is that of a Kubernetes cluster.
func (a *App) InCluster() bool { return a.kube.on }

// Way says which NATS of which cluster the way leads to, once NATS was connected to.
func (a *App) Way() string { return a.kube.forward.String() }

// KubeFlagsGiven returns the flags with which another command line leads to the same NATS of
// a cluster.
func (a *App) KubeFlagsGiven() string {
	s := &a.kube.settings
	var text strings.Builder
	text.WriteString(" --" + flagKube)
	for _, each := range []struct{ flag, value string }{
		{flagKubeContext, s.Context}, {flagKubeNamespace, s.Namespace}, {flagNATSService, s.Service}, {flagNATSSecret, s.Secret},
	} {
		if each.value != "" {
			text.WriteString(" --" + each.flag + " " + ShellWord(each.value))
		}
	}
	return text.String()
}

// LogWay has a command that goes on for long tell when the way into the cluster is lost and
// when it is found again. It is called before NATS is connected to.
func (a *App) LogWay(logger *slog.Logger) { a.kube.settings.Logger = logger }

// way returns the settings of the connection, and the options of nats.go that lead to NATS:
// none unless it is that of a cluster, to which the way is opened then.
func (a *App) way(ctx context.Context) (aegisenv.Settings, []nats.Option, error) {
	s := a.Settings()
	if !a.kube.on {
		return s, nil, nil
	}
	if err := a.openWay(ctx); err != nil {
		return aegisenv.Settings{}, nil, err
	}
	own := a.kube.forward.Settings()
	s.URL = own.URL
	if a.kube.settings.Secret != "" {
		s.User, s.Password, s.Token, s.Creds, s.NKey = own.User, own.Password, own.Token, own.Creds, own.NKey
	}
	return s, a.kube.forward.Options(), nil
}

func (a *App) openWay(ctx context.Context) error {
	if a.kube.forward != nil {
		return nil
	}
	settings := a.kube.settings
	settings.Timeout = a.Timeout
	if settings.Logger == nil {
		settings.Logger = a.Logger()
	}
	forward, err := aegiskube.Open(ctx, settings)
	if err != nil {
		return a.explainWay(err)
	}
	a.Logger().Info("aegis: forwarding to NATS", "way", forward.String())
	a.kube.forward = forward
	return nil
}

// close ends the way, if there is one.
func (k *kube) close() {
	if k.forward != nil {
		k.forward.Close()
	}
}

// KubeEnvironment returns the variables of the environment that lead other processes to the
// NATS of the cluster, through a proxy of this one, for as long as this one runs.
func (a *App) KubeEnvironment(ctx context.Context) ([]string, error) {
	asked, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	s, _, err := a.way(asked)
	if err != nil {
		return nil, err
	}
	proxy, err := a.kube.forward.Listen(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	s.SOCKSProxy = proxy.URL()
	var env []string
	given := s
	aegisenv.BindFlags(&given, func(value *string, _, variable, _ string) {
		if *value != "" {
			env = append(env, variable+"="+*value)
		}
	})
	return env, nil
}

// wayError is an error about the way into a cluster, in the words of the command line.
type wayError struct {
	text  string
	cause error
}

func (e *wayError) Error() string { return e.text }
func (e *wayError) Unwrap() error { return e.cause }

// explainWay adds the flags that an error of a connection is about. What comes from the
// cluster is in the settings of flags that cannot be given with --kube.
func (a *App) explainWay(err error) error {
	if err == nil || !a.kube.on {
		return err
	}
	text := strings.NewReplacer("aegis kube: ", "", "server: --server", "server: --"+flagKube).Replace(err.Error())
	if a.kube.settings.Secret != "" {
		for _, name := range userFlags() {
			text = strings.ReplaceAll(text, ": --"+name, ": --"+flagNATSSecret)
		}
	}
	if a.kube.forward == nil { // it was not opened
		switch {
		case errors.Is(err, aegiskube.ErrNoCluster):
			text += " (--" + flagKubeContext + ")"
		case errors.Is(err, aegiskube.ErrNoService):
			text += " (--" + flagNATSService + ", --" + flagNATSSecret + ", --" + flagKubeNamespace + ")"
		}
	}
	return &wayError{text: text, cause: err}
}
