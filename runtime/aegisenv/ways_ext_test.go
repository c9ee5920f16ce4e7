package aegisenv_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// way is a way to authenticate in code, as docs/connecting.md shows it in a line.
type way func(ctx context.Context, url string) (*aegis.Conn, error)

func ways() map[string]way {
	return map[string]way{
		"password": func(ctx context.Context, url string) (*aegis.Conn, error) {
			return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.UserInfo("bob", "s3cr3t")))
		},
		"token": func(ctx context.Context, url string) (*aegis.Conn, error) {
			return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.Token("t0k3n")))
		},
		"nkey": func(ctx context.Context, url string) (*aegis.Conn, error) {
			return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.Nkey(public, sign)))
		},
		"credentials": func(ctx context.Context, url string) (*aegis.Conn, error) {
			return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.UserCredentials("user.creds")))
		},
		"TLS": func(ctx context.Context, url string) (*aegis.Conn, error) {
			return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.RootCAs("ca.pem")))
		},
		"mutual TLS": func(ctx context.Context, url string) (*aegis.Conn, error) {
			return aegis.Connect(ctx, url, aegis.WithNATSOptions(nats.RootCAs("ca.pem"), nats.ClientCert("client.pem", "client.key")))
		},
		"context": func(ctx context.Context, _ string) (*aegis.Conn, error) {
			return aegisenv.Settings{Context: "prod"}.Connect(ctx)
		},
		"fields": func(ctx context.Context, url string) (*aegis.Conn, error) {
			return aegisenv.Settings{URL: url, NKey: "user.nk"}.Connect(ctx)
		},
	}
}

// The key of the nkey in ways.
var (
	public string                       //nolint:gochecknoglobals // the test makes it
	sign   func([]byte) ([]byte, error) //nolint:gochecknoglobals // as above
)

func TestEveryWayToAuthenticateWorksInCode(t *testing.T) {
	user := newPair(t, nkeys.CreateUser)
	pair, err := nkeys.FromSeed([]byte(user.seed))
	require.NoError(t, err)
	public, sign = user.public, pair.Sign
	op := startOperator(t)
	a := newAuthority(t)
	a.issue(t, "client")
	t.Chdir(a.dir) // it has ca.pem, client.pem and client.key
	write(t, "user.creds", []byte(op.creds))
	write(t, "user.nk", []byte(user.seed))
	urls := map[string]string{
		"password": serveNATS(t, `authorization { user: bob, password: "s3cr3t" }`),
		"token":    serveNATS(t, `authorization { token: "t0k3n" }`), "nkey": serveNATS(t, `authorization { users: [ { nkey: `+user.public+` } ] }`),
		"credentials": op.url, "TLS": a.serve(t, ""), "mutual TLS": a.serve(t, "verify: true"),
	}
	urls["context"], urls["fields"] = urls["mutual TLS"], urls["nkey"]
	config := environment(t, nil)
	writeContext(t, config, "prod", map[string]any{
		"url": urls["context"], "ca": a.file, "cert": filepath.Join(a.dir, "client.pem"), "key": filepath.Join(a.dir, "client.key"),
	})
	for name, connect := range ways() {
		_, err := aegis.Connect(deadline(t), urls[name], aegis.WithNATSOptions(nats.NoReconnect()))
		require.Error(t, err, "%s: this NATS takes nobody without it", name)
		conn, err := connect(deadline(t), urls[name])
		require.NoError(t, err, name)
		assert.NoError(t, conn.Close(context.Background()))
	}
}
