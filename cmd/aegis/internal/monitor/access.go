package monitor

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/monitorhttp"
	"github.com/aegisrpc/aegis/runtime/aegismonitor"
)

// tokenVariable is the variable of the environment that may have the token. No flag has it: other
// users of the machine see the arguments of a process.
const tokenVariable = "AEGIS_MONITOR_TOKEN"

// mostSecret bounds the size of a file with a secret: a longer one is another file.
const mostSecret = 4 << 10

// access says who is let in.
type access struct {
	tokenFile, basicFile string
	proxyHeader          string
	open                 bool // everybody is

	token, user, password string // set by read
}

// read reads the secrets. Doubts about their files are told.
func (a *access) read(doubt func(format string, args ...any)) error {
	var err error
	switch {
	case a.tokenFile != "":
		a.token, err = readSecret("--token-file", a.tokenFile, doubt)
	default:
		a.token = strings.TrimSpace(os.Getenv(tokenVariable))
	}
	if err != nil {
		return err
	}
	if a.basicFile == "" {
		return nil
	}
	line, err := readSecret("--basic-auth-file", a.basicFile, doubt)
	if err != nil {
		return err
	}
	var found bool
	a.user, a.password, found = strings.Cut(line, ":")
	if !found || a.user == "" || a.password == "" || strings.ContainsAny(line, "\r\n") {
		return fmt.Errorf("--basic-auth-file %s: it has to be one line, USER:PASSWORD", a.basicFile)
	}
	return nil
}

// secret tells whether users send a secret to the monitor.
func (a *access) secret() bool { return a.token != "" || a.user != "" }

// asks tells whether a user has to show that he is let in.
func (a *access) asks() bool { return a.secret() || a.proxyHeader != "" }

// options returns the options of the monitor that let in the right users.
func (a *access) options() []aegismonitor.Option {
	var opts []aegismonitor.Option
	if a.token != "" {
		opts = append(opts, aegismonitor.WithBearerToken(a.token))
	}
	if a.user != "" {
		opts = append(opts, aegismonitor.WithBasicAuth(a.user, a.password))
	}
	if a.proxyHeader != "" {
		opts = append(opts, aegismonitor.WithProxyHeader(a.proxyHeader))
	}
	return opts
}

// judge refuses to let in strangers, and to have secrets sent that others can read on their
// way.
func (o *options) judge(l net.Listener) error {
	a := &o.access
	if a.open && a.asks() {
		return cli.Usagef("--no-auth lets everybody in, and a token, a password or --proxy-header does not: leave one of them out")
	}
	if monitorhttp.Loopback(l) || a.open {
		return nil
	}
	if !a.asks() {
		return cli.Usagef("--listen %s: others reach the monitor there, and nobody would be asked who they are; give --token-file, "+
			"--basic-auth-file or --proxy-header, or let everybody in with --no-auth", o.listen)
	}
	if a.secret() && o.tlsCert == "" && !o.plainHTTP {
		return cli.Usagef("--listen %s: the token or the password would go over the network for everybody to read; give --tls-cert and "+
			"--tls-key, or say --plain-http if a proxy before the monitor has TLS", o.listen)
	}
	return nil
}

// readSecret reads a secret from the file of a flag.
func readSecret(flag, path string, doubt func(format string, args ...any)) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, mostSecret+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", flag, err)
	case len(text) > mostSecret:
		return "", fmt.Errorf("%s %s: it has more than %d bytes, and so is another file", flag, path, mostSecret)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("%s %s: it is empty", flag, path)
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o004 != 0 && runtime.GOOS != "windows" {
		doubt("%s %s: every user of this machine can read it; `chmod o= %s` ends that", flag, path, path)
	}
	return secret, nil
}
