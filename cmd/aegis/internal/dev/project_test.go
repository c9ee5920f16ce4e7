package dev

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

func TestServersOfOneNameGetLongerNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []server{{"billing", "m/cmd/billing"}, {"a-server", "m/cmd/a/server"}, {"b-server", "m/cmd/b/server"}},
		distinct([]server{{"billing", "m/cmd/billing"}, {"server", "m/cmd/a/server"}, {"server", "m/cmd/b/server"}}))
	assert.Equal(t, []server{{"a-server", "m/x/a/server"}, {"m-y-a-server", "m/y/a/server"}},
		distinct([]server{{"server", "m/x/a/server"}, {"server", "m/y/a/server"}}))
}

func TestClientsAreNoServers(t *testing.T) {
	t.Parallel()
	p := &project{dir: "/srv/me/client-area/shop"}
	assert.True(t, p.isClient("/srv/me/client-area/shop/cmd/client"))
	assert.True(t, p.isClient("/srv/me/client-area/shop/cmd/shop-client"))
	assert.True(t, p.isClient("/srv/me/client-area/shop/cmd/clients/web"))
	assert.False(t, p.isClient("/srv/me/client-area/shop/cmd/shop"))
}

// linked returns the link that these global flags make.
func linked(t *testing.T, args ...string) (link, error) {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	aegisenv.BindFlags(&aegisenv.Settings{}, func(value *string, name, _, _ string) { flags.StringVar(value, name, "", "") })
	require.NoError(t, flags.Parse(args))
	return linkOf(flags, false)
}

func TestEnvironmentOfServers(t *testing.T) {
	t.Parallel()
	inherited := []string{"HOME=/srv/me", "NATS_URL=nats://far", "NATS_CREDS=/c", "AEGIS_JS_DOMAIN=hub", "AEGIS_NAMESPACE=blue"}
	for _, test := range []struct {
		args []string
		url  string
		want []string
	}{
		{nil, "nats://here", []string{"HOME=/srv/me", "AEGIS_NAMESPACE=blue", "NATS_URL=nats://here"}},
		{[]string{"--namespace", "red"}, "nats://here", []string{"HOME=/srv/me", "AEGIS_NAMESPACE=blue", "NATS_URL=nats://here", "AEGIS_NAMESPACE=red"}},
		{[]string{"--server", "nats://there"}, "", append(inherited[:5:5], "NATS_URL=nats://there")},
		{[]string{"--server", "nats://there", "--user", "me"}, "", []string{"HOME=/srv/me", "AEGIS_JS_DOMAIN=hub", "AEGIS_NAMESPACE=blue", "NATS_URL=nats://there", "NATS_USER=me"}},
		{[]string{"--context", "prod"}, "", []string{"HOME=/srv/me", "AEGIS_JS_DOMAIN=hub", "AEGIS_NAMESPACE=blue", "NATS_CONTEXT=prod"}},
	} {
		l, err := linked(t, test.args...)
		require.NoError(t, err, "%q", test.args)
		assert.Equal(t, test.want, l.environment(inherited, test.url), "%q", test.args)
	}
	_, err := linked(t, "--creds", "/c")
	require.ErrorContains(t, err, "--creds is for a NATS that runs already")
	_, err = linked(t, "--js-domain", "hub")
	require.ErrorContains(t, err, "--js-domain is for a NATS that runs already")
}
