package aegismonitor

import (
	"errors"
	"log/slog"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
)

// Option configures a [Monitor].
type Option func(*config)

// config is what the options set. The zero config, with a logger, is a monitor that lets
// everybody read.
type config struct {
	access access.Config
	may    monitorapi.May
	logger *slog.Logger
	errs   []error // of options that cannot be meant
}

func newConfig(opts []Option) (*config, error) {
	c := &config{logger: slog.Default()}
	for _, o := range opts {
		o(c)
	}
	return c, errors.Join(append(c.errs, c.access.Validate())...)
}

func (c *config) refuse(problem string) { c.errs = append(c.errs, errors.New(problem)) }

// WithBearerToken lets nobody in without this token in the header Authorization. The page
// asks its user for it. Without this option and the two that follow everybody is let in; with
// several of them each suffices, and with a password browsers ask for that.
//
// After 10 wrong tokens or passwords from one address, it has one guess each two seconds.
func WithBearerToken(token string) Option {
	return func(c *config) {
		if token == "" {
			c.refuse("WithBearerToken: the token is empty")
		}
		c.access.Token = token
	}
}

// WithBasicAuth lets nobody in without this user and password, for which browsers ask. See
// [WithBearerToken] for several ways to be let in. Use TLS with it: the password travels as it
// is.
func WithBasicAuth(user, password string) Option {
	return func(c *config) {
		if user == "" && password == "" {
			c.refuse("WithBasicAuth: the user and the password are empty")
		}
		c.access.User, c.access.Password = user, password
	}
}

// WithProxyHeader takes the name of the user from a header that a trusted proxy sets, such as
// X-Forwarded-User, and lets nobody in without it. Only that proxy may reach the monitor, and
// it has to remove that header from what its own clients send. See [WithBearerToken] for
// several ways to be let in.
func WithProxyHeader(name string) Option {
	return func(c *config) {
		if name == "" {
			c.refuse("WithProxyHeader: the name of the header is empty")
		}
		c.access.ProxyHeader = name
	}
}

// WithChanges lets users put dead letters back and delete them. Without it a monitor changes
// nothing.
func WithChanges() Option { return func(c *config) { c.may.Act = true } }

// WithCalls lets users call methods, send commands and publish events, with the permissions
// that the monitor's connection has. They see the responses.
func WithCalls() Option { return func(c *config) { c.may.Call = true } }

// WithPayloads shows the payloads and the metadata of commands and dead letters to all users.
// The reasons of dead letters and the errors of commands are shown in any case.
func WithPayloads() Option { return func(c *config) { c.may.ShowPayloads = true } }

// WithLogger logs there: a line for each action with its user, and what goes wrong. No line
// has a token, a password or a payload. It is slog.Default() unless set; nil logs nothing.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		if logger == nil {
			logger = slog.New(slog.DiscardHandler)
		}
		c.logger = logger
	}
}
