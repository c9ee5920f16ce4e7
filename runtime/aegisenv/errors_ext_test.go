package aegisenv_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

func TestRefusedUserIsToldWithThePlaceAndWithoutSecrets(t *testing.T) {
	environment(t, map[string]string{
		"NATS_URL": serveNATS(t, `authorization { user: bob, password: "s3cr3t" }`), "NATS_USER": "bob", "NATS_PASSWORD": "wr0ng",
	})
	_, err := aegisenv.Connect(deadline(t))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.ErrorContains(t, err, "server: NATS_URL, user: NATS_USER, password: NATS_PASSWORD; NATS refuses this user")
	assert.NotContains(t, err.Error(), "wr0ng")
	_, err = flags(aegisenv.Settings{Password: "wr0ng"}).Connect(deadline(t))
	require.ErrorContains(t, err, "user: NATS_USER, password: --password")
}

func TestServerThatIsNotThereIsToldWithThePlace(t *testing.T) {
	environment(t, map[string]string{"NATS_URL": "nats://x:s3cr3t@127.0.0.1:1"})
	text := refused(t, aegisenv.Settings{})
	assert.Contains(t, text, "no NATS server listens there")
	assert.Contains(t, text, "server: NATS_URL")
	assert.NotContains(t, text, "s3cr3t")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := aegisenv.Connect(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestValuesThatCannotBeUsedAreToldWithTheirPlace(t *testing.T) {
	user := newPair(t, nkeys.CreateUser)
	account := newPair(t, nkeys.CreateAccount)
	empty := write(t, filepath.Join(t.TempDir(), "empty"), nil)
	for _, is := range []struct{ variable, value, text string }{
		{"NATS_URL", "nats://x:s3cr3t%zz@host", "NATS_URL: nats://***@host is no URL of a NATS server: it cannot be parsed"},
		{"NATS_URL", "nats://", "NATS_URL: nats:// is no URL of a NATS server: it has no host"},
		{"NATS_URL", "nats://a,,nats://b", "it is empty"},
		{"NATS_URL", "https://host", `the scheme is "https"`},
		{"NATS_CREDS", "/no/such", "NATS_CREDS: the user's credentials: the file /no/such cannot be read: no such file"},
		{"NATS_CREDS", empty, "NATS_CREDS: the user's credentials: there is no JWT with the seed of its user in them"},
		{"NATS_CREDS", "data:x", "a data: reference has the form data:;base64,TEXT"},
		{"NATS_CREDS", "data:;base64,s3cr3t!", "is no base64"},
		{"NATS_CREDS", "nsc://O/A/U", `"nsc"`},
		{"NATS_NKEY", "/no/such", "NATS_NKEY: the nkey: the file /no/such cannot be read"},
		{"NATS_NKEY", empty, "NATS_NKEY: the nkey: there is no seed in it"},
		{"NATS_NKEY", user.seed, "NATS_NKEY: the nkey: a secret is given where the name of a file belongs"},
		{"NATS_CREDS", account.seed, "a secret is given where the name of a file belongs"},
		{"NATS_TOKEN", "env://NOT_SET_HERE", "NATS_TOKEN: the variable NOT_SET_HERE is not set"},
		{"NATS_TOKEN", "file:///no/such", "NATS_TOKEN: the file /no/such cannot be read"},
		{"AEGIS_NAMESPACE", "a b", `AEGIS_NAMESPACE: the namespace "a b"`},
		{"AEGIS_JS_DOMAIN", "a b", `AEGIS_JS_DOMAIN: the JetStream domain "a b"`},
		{"AEGIS_JS_API_PREFIX", "a.>", `AEGIS_JS_API_PREFIX: the JetStream API prefix "a.>"`},
		{"AEGIS_INBOX_PREFIX", "a.>", `AEGIS_INBOX_PREFIX: the inbox prefix "a.>"`},
	} {
		environment(t, map[string]string{is.variable: is.value, "PATH": ""})
		_, err := aegisenv.Connect(deadline(t))
		require.ErrorIs(t, err, aegisenv.ErrInvalid)
		require.ErrorContains(t, err, is.text)
		for _, secret := range []string{"s3cr3t", user.seed, account.seed} {
			assert.NotContains(t, err.Error(), secret)
		}
		assert.NotContains(t, aegisenv.Settings{Creds: is.value, NKey: is.value}.String(), user.seed)
	}
	environment(t, map[string]string{"NATS_JWT": "x", "NATS_SEED": "s3cr3t"})
	text := refused(t, aegisenv.Settings{})
	assert.Contains(t, text, "NATS_SEED: it is no seed of an nkey")
	assert.NotContains(t, text, "s3cr3t")
}
