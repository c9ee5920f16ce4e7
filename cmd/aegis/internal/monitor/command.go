// Package monitor has the subcommand monitor, which shows the services of a namespace on a web
// page and by an HTTP API.
package monitor

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorhttp"
)

// options are the flags of monitor.
type options struct {
	listen, path    string
	tlsCert, tlsKey string
	plainHTTP       bool
	keda            keda
	access          access
	allowChanges    bool
	allowCalls      bool
	showPayloads    bool
}

// Command returns the subcommand monitor.
func Command(app *cli.App) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "monitor",
		Short: "Show all services live on a web page, with an HTTP API and metrics",
		Long: "Serves a web page that shows the services of the namespace live: instances, figures, leaders,\n" +
			"durable work, dead letters and what happens, with an HTTP API of the same and metrics for\n" +
			"Prometheus. It goes on until Ctrl-C, and starts without NATS too: then the page says so, and\n" +
			"the connection is made when NATS comes.\n\n" +
			"It only reads unless --allow-changes or --allow-calls say otherwise, and listens on this machine\n" +
			"alone. To listen elsewhere, say who is let in: whoever has the token (--token-file or the\n" +
			"variable " + tokenVariable + "), who knows a password (--basic-auth-file), or whom a proxy lets in\n" +
			"(--proxy-header). Token and password want TLS there.\n\n" +
			"With --keda-listen it is also an external scaler for KEDA, which lets Kubernetes scale services by\n" +
			"what waits for them. That address has numbers alone and asks nobody who he is, unless --keda-client-ca\n" +
			"says whose certificate he has to show. It has TLS if there is a --tls-cert.",
		Example: "  aegis monitor\n" +
			"  aegis monitor --listen 0.0.0.0:7177 --tls-cert cert.pem --tls-key key.pem --token-file token\n" +
			"  aegis monitor --listen 10.0.0.7:7177 --path /aegis --proxy-header X-Forwarded-User\n" +
			"  aegis monitor --keda-listen :9090",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return run(c.Context(), app, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", monitorhttp.DefaultAddress, "address to listen on, HOST:PORT; port 0 is a free one, which is printed")
	f.StringVar(&o.path, "path", "", "path below which the monitor is, such as /aegis (default: all of the server)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "file with the certificate of the server, read anew when it changes (default: no TLS)")
	f.StringVar(&o.tlsKey, "tls-key", "", "file with the key of the certificate (default: no TLS)")
	f.BoolVar(&o.plainHTTP, "plain-http", false, "take a token or a password without TLS, as behind a proxy that has it (default: on this machine alone)")
	f.StringVar(&o.access.tokenFile, "token-file", "", "file with the token without which nobody is let in (default: that of "+tokenVariable+", or none)")
	f.StringVar(&o.access.basicFile, "basic-auth-file", "", "file with a line USER:PASSWORD without which nobody is let in (default: none)")
	f.StringVar(&o.access.proxyHeader, "proxy-header", "", "header in which a proxy names the user, and without which nobody is let in (default: none)")
	f.BoolVar(&o.access.open, "no-auth", false, "let in everybody who reaches the address (default: on this machine alone)")
	f.StringVar(&o.keda.listen, "keda-listen", "", "address to listen on for KEDA, HOST:PORT; port 0 is a free one, which is printed (default: none)")
	f.StringVar(&o.keda.clientCA, "keda-client-ca", "", "file with the authorities of which KEDA has to show a certificate (default: none)")
	f.BoolVar(&o.allowChanges, "allow-changes", false, "let users put dead letters back and delete them (default: they only read)")
	f.BoolVar(&o.allowCalls, "allow-calls", false, "let users call methods (default: they only read)")
	f.BoolVar(&o.showPayloads, "show-payloads", false, "show what is in commands, events and dead letters (default: it is hidden)")
	return c
}

// check refuses values and combinations that mean nothing.
func (o *options) check() error {
	o.path = strings.TrimSuffix(o.path, "/")
	switch {
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return cli.Usagef("--tls-cert and --tls-key belong together: give both, or none")
	case o.tlsCert != "" && o.plainHTTP:
		return cli.Usagef("--plain-http is for a server without a certificate: leave it or --tls-cert out")
	case o.keda.clientCA != "" && (o.keda.listen == "" || o.tlsCert == ""):
		return cli.Usagef("--keda-client-ca says who is let in at --keda-listen with TLS: give that, and --tls-cert and --tls-key")
	case o.path != "" && !isPath(o.path):
		return cli.Usagef("--path %s: use letters, digits, and - _ . between slashes, such as /aegis", o.path)
	}
	return nil
}

// isPath tells whether a path can be below an URL as it is.
func isPath(path string) bool {
	rest, rooted := strings.CutPrefix(path, "/")
	if !rooted {
		return false
	}
	for name := range strings.SplitSeq(rest, "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, notOfPath) {
			return false
		}
	}
	return true
}

// notOfPath tells whether a character of a path would be escaped in an URL, or mean something.
func notOfPath(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}
