package aegisenv_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// environment sets the variables of the test's process: those that are not given are
// unset, and there are no contexts. It returns the folder that contexts are looked for in.
func environment(t *testing.T, variables map[string]string) (config string) {
	t.Helper()
	config = t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	aegisenv.BindFlags(new(aegisenv.Settings), func(_ *string, _, variable, _ string) { t.Setenv(variable, "") })
	for _, variable := range []string{
		"AEGIS_ENVIRONMENT", "AEGIS_INSTANCE", "AEGIS_BUILD", "AEGIS_NODE", "AEGIS_ZONE", "AEGIS_LABELS", "AEGIS_RESERVED", "AEGIS_PODINFO",
		"OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_VERSION", "KUBERNETES_SERVICE_HOST", "POD_NAME", "POD_NAMESPACE", "NODE_NAME",
	} {
		t.Setenv(variable, "")
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
	return config
}

// writeContext writes a NATS context and returns its file.
func writeContext(t *testing.T, config, name string, values map[string]any) string {
	t.Helper()
	text, err := json.MarshalIndent(values, "", "  ")
	require.NoError(t, err)
	return write(t, filepath.Join(config, "nats", "context", name+".json"), text)
}

func write(t *testing.T, path string, text []byte) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// serveNATS runs a NATS server with a configuration, and returns its URL.
func serveNATS(t *testing.T, config string) string {
	t.Helper()
	return aegistest.StartNATSWithConfig(t, write(t, filepath.Join(t.TempDir(), "nats.conf"), []byte(config))).URL()
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// connects asserts that the settings and the environment lead to NATS, with Aegis and
// without, and returns the connection.
func connects(t *testing.T, s aegisenv.Settings, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	nc, err := s.ConnectNATS(deadline(t))
	require.NoError(t, err)
	nc.Close()
	conn, err := s.Connect(deadline(t), opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// refused asserts that there is no connection, and returns the text of the error.
func refused(t *testing.T, s aegisenv.Settings) string {
	t.Helper()
	nc, plain := s.ConnectNATS(deadline(t))
	if nc != nil {
		nc.Close()
	}
	require.Error(t, plain)
	conn, err := s.Connect(deadline(t))
	if conn != nil {
		_ = conn.Close(context.Background())
	}
	require.Error(t, err)
	// How a server closes the connection may differ from one time to the next.
	_, explained, _ := strings.Cut(err.Error(), " (server:")
	require.True(t, strings.HasSuffix(plain.Error(), explained), "with Aegis: %v; without: %v", err, plain)
	return err.Error()
}

// flags has the fields of the settings named as flags in errors.
func flags(s aegisenv.Settings) aegisenv.Settings {
	var bound aegisenv.Settings
	given := map[string]string{}
	aegisenv.BindFlags(&s, func(value *string, name, _, _ string) { given[name] = *value })
	aegisenv.BindFlags(&bound, func(value *string, name, _, _ string) { *value = given[name] })
	bound.SelectedContext = s.SelectedContext
	return bound
}

// pair is an nkey: the seed and the public key.
type pair struct {
	seed, public string
	keys         nkeys.KeyPair
}

func newPair(t *testing.T, of func() (nkeys.KeyPair, error)) pair {
	t.Helper()
	keys, err := of()
	require.NoError(t, err)
	seed, err := keys.Seed()
	require.NoError(t, err)
	public, err := keys.PublicKey()
	require.NoError(t, err)
	return pair{seed: string(seed), public: public, keys: keys}
}

// operator is a NATS server whose users have JWTs.
type operator struct {
	url   string
	jwt   string // of a user
	seed  string
	creds string // both, as a file has them
}

func startOperator(t *testing.T) operator {
	t.Helper()
	top, account, user := newPair(t, nkeys.CreateOperator), newPair(t, nkeys.CreateAccount), newPair(t, nkeys.CreateUser)
	operatorJWT, err := jwt.NewOperatorClaims(top.public).Encode(top.keys)
	require.NoError(t, err)
	accountJWT, err := jwt.NewAccountClaims(account.public).Encode(top.keys)
	require.NoError(t, err)
	system := newPair(t, nkeys.CreateAccount) // JetStream needs one
	systemJWT, err := jwt.NewAccountClaims(system.public).Encode(top.keys)
	require.NoError(t, err)
	userJWT, err := jwt.NewUserClaims(user.public).Encode(account.keys)
	require.NoError(t, err)
	creds, err := jwt.FormatUserConfig(userJWT, []byte(user.seed))
	require.NoError(t, err)
	url := serveNATS(t, "operator: "+operatorJWT+"\nsystem_account: "+system.public+"\nresolver: MEMORY\nresolver_preload: {\n"+
		account.public+": "+accountJWT+"\n"+system.public+": "+systemJWT+"\n}\n")
	return operator{url: url, jwt: userJWT, seed: user.seed, creds: string(creds)}
}
