package aegisenv_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// resolve returns the settings that a connection is made with.
func resolve(t *testing.T, s aegisenv.Settings) aegisenv.Settings {
	t.Helper()
	r, err := s.Resolve(deadline(t))
	require.NoError(t, err)
	again, err := r.Resolve(deadline(t))
	require.NoError(t, err)
	assert.Equal(t, r, again, "resolved settings stay as they are")
	return r
}

// Each place in turn has every setting, and those after it have others.
func TestEachPlaceHidesThosePlacesThatComeAfterIt(t *testing.T) {
	config := environment(t, nil)
	file := func(name string) {
		writeContext(t, config, name, map[string]any{
			"url": "nats://" + name, "cert": name, "key": name, "ca": name, "socks_proxy": "socks5://" + name, "inbox_prefix": name,
			"jetstream_domain": name, "creds": name,
		})
	}
	file("named")
	file("of_the_env")
	file("selected")
	write(t, filepath.Join(config, "nats", "context.txt"), []byte("selected\n"))
	is := func(s aegisenv.Settings, from string) {
		t.Helper()
		r := resolve(t, s)
		assert.Equal(t, []string{"nats://" + from, from, from, from, "socks5://" + from, from, from, from}, []string{
			r.URL, r.TLSCert, r.TLSKey, r.TLSCA, r.SOCKSProxy, r.InboxPrefix, r.JSDomain, r.Creds,
		})
	}
	assert.Equal(t, "nats://127.0.0.1:4222", resolve(t, aegisenv.Settings{}).URL, "the selected context does not count")
	is(aegisenv.Settings{SelectedContext: true}, "selected")
	t.Setenv("NATS_CONTEXT", "of_the_env")
	is(aegisenv.Settings{}, "of_the_env")
	is(aegisenv.Settings{SelectedContext: true}, "of_the_env")
	for name, value := range map[string]string{
		"NATS_URL": "nats://env", "NATS_CERT": "env", "NATS_KEY": "env", "NATS_CA": "env", "NATS_SOCKS_PROXY": "socks5://env",
		"AEGIS_INBOX_PREFIX": "env", "AEGIS_JS_DOMAIN": "env", "NATS_CREDS": "env", "AEGIS_NAMESPACE": "env",
	} {
		t.Setenv(name, value)
	}
	is(aegisenv.Settings{SelectedContext: true}, "env")
	assert.Equal(t, "env", resolve(t, aegisenv.Settings{}).Namespace)
	is(aegisenv.Settings{Context: "named"}, "named")
	is(aegisenv.Settings{
		Context: "named", URL: "nats://field", TLSCert: "field", TLSKey: "field", TLSCA: "field", SOCKSProxy: "socks5://field",
		InboxPrefix: "field", JSDomain: "field", Creds: "field",
	}, "field")
	assert.Equal(t, "field", resolve(t, aegisenv.Settings{Namespace: "field"}).Namespace)
}

func TestSelectedContextDoesNotCountWhereAServerIsNamed(t *testing.T) {
	url := serveNATS(t, `authorization { user: bob, password: "s3cr3t" }`)
	config := environment(t, nil)
	writeContext(t, config, "prod", map[string]any{"url": url, "user": "bob", "password": "s3cr3t", "jetstream_domain": "hub"})
	write(t, filepath.Join(config, "nats", "context.txt"), []byte("prod"))
	connects(t, aegisenv.Settings{SelectedContext: true})
	for _, s := range []aegisenv.Settings{{URL: url, SelectedContext: true}, {SelectedContext: true}} {
		if s.URL == "" {
			t.Setenv("NATS_URL", url)
		}
		r := resolve(t, s)
		assert.Empty(t, r.User)
		assert.Empty(t, r.JSDomain)
		assert.Contains(t, refused(t, s), `the NATS context "prod" is selected, but not used as a server is named`)
	}
	t.Setenv("NATS_CONTEXT", "prod")
	connects(t, aegisenv.Settings{})
}

// The first place that has a way to authenticate hides the others' ways.
func TestWaysToAuthenticateAreNotMixed(t *testing.T) {
	config := environment(t, map[string]string{"NATS_URL": "nats://alice:pw@host:1,nats://host:2", "NATS_CONTEXT": "c"})
	writeContext(t, config, "c", map[string]any{"user": "carol", "password": "pw", "jetstream_api_prefix": "JS.x"})
	r := resolve(t, aegisenv.Settings{})
	assert.Equal(t, "nats://alice:pw@host:1,nats://host:2", r.URL)
	assert.Empty(t, r.User)

	r = resolve(t, aegisenv.Settings{Creds: "file", JSDomain: "hub"})
	assert.Equal(t, "nats://host:1,nats://host:2", r.URL, "nats.go would prefer the user of the URL")
	assert.Equal(t, []string{"file", "", "", "hub", ""}, []string{r.Creds, r.User, r.Password, r.JSDomain, r.JSAPIPrefix})

	t.Setenv("NATS_URL", "")
	r = resolve(t, aegisenv.Settings{User: "bob"})
	assert.Equal(t, []string{"bob", "pw"}, []string{r.User, r.Password}, "the missing half")
	r = resolve(t, aegisenv.Settings{Password: "other"})
	assert.Equal(t, []string{"carol", "other"}, []string{r.User, r.Password}, "the missing half")
	r = resolve(t, aegisenv.Settings{Token: "t"})
	assert.Equal(t, []string{"t", "", ""}, []string{r.Token, r.User, r.Password})

	writeContext(t, config, "c", map[string]any{"user": "carol"})
	r = resolve(t, aegisenv.Settings{})
	assert.Equal(t, []string{"carol", ""}, []string{r.User, r.Token}, "in a context a user may have no password")
}

func TestContradictionsNameBothPlaces(t *testing.T) {
	config := environment(t, nil)
	for _, is := range []struct {
		settings    aegisenv.Settings
		environment map[string]string
		context     map[string]any
		names       []string
	}{
		{environment: map[string]string{"NATS_CREDS": "a", "NATS_NKEY": "b"}, names: []string{"NATS_CREDS", "NATS_NKEY"}},
		{environment: map[string]string{"NATS_USER": "a", "NATS_PASSWORD": "b", "NATS_TOKEN": "c"}, names: []string{"NATS_USER", "NATS_TOKEN"}},
		{environment: map[string]string{"NATS_URL": "nats://a:b@c", "NATS_CREDS": "d"}, names: []string{"NATS_CREDS", "NATS_URL"}},
		{environment: map[string]string{"NATS_PASSWORD": "b"}, names: []string{"NATS_PASSWORD", "NATS_USER"}},
		{environment: map[string]string{"NATS_SEED": "b"}, names: []string{"NATS_SEED", "NATS_JWT"}},
		{environment: map[string]string{"NATS_CERT": "a"}, names: []string{"NATS_CERT", "NATS_KEY"}},
		{environment: map[string]string{"NATS_KEY": "a"}, names: []string{"NATS_KEY", "NATS_CERT"}},
		{environment: map[string]string{"AEGIS_JS_DOMAIN": "a", "AEGIS_JS_API_PREFIX": "b"}, names: []string{"AEGIS_JS_DOMAIN", "AEGIS_JS_API_PREFIX"}},
		{settings: aegisenv.Settings{User: "a", Creds: "b"}, names: []string{"Settings.User", "Settings.Creds"}},
		{settings: flags(aegisenv.Settings{JWT: "a", NKey: "b"}), names: []string{"--jwt", "--nkey"}},
		{context: map[string]any{"user": "a", "creds": "b"}, names: []string{"user of the NATS context " + filepath.Join(config, "nats/context/x.json"), "creds of the NATS context"}},
	} {
		aegisenv.BindFlags(new(aegisenv.Settings), func(_ *string, _, variable, _ string) { t.Setenv(variable, is.environment[variable]) })
		if is.context != nil {
			writeContext(t, config, "x", is.context)
			is.settings.Context = "x"
		}
		_, err := is.settings.Resolve(deadline(t))
		require.ErrorIs(t, err, aegisenv.ErrInvalid)
		for _, name := range is.names {
			assert.ErrorContains(t, err, name)
		}
	}
}

func TestSettingsArePrintedWithoutSecrets(t *testing.T) {
	environment(t, map[string]string{"NATS_PASSWORD": "s3cr3t", "NATS_URL": "nats://s3cr3t@host"})
	given := aegisenv.Settings{URL: "nats://x:s3cr3t@host", Token: "s3cr3t", JWT: "s3cr3t", Seed: "s3cr3t", User: "s3cr3t", JSDomain: "hub", TLSFirst: true}
	r := resolve(t, aegisenv.Settings{User: "bob", Namespace: "shop"})
	for _, s := range []aegisenv.Settings{given, r} {
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s)
		text := fmt.Sprint(s) + fmt.Sprintf("%v %+v %#v %s", s, s, s, s) + log.String()
		assert.NotContains(t, text, "s3cr3t")
	}
	assert.Equal(t, "url nats://***@host, user ***, token ***, user_jwt ***, user_seed ***, jetstream_domain hub, tls_first", given.String())
	assert.Equal(t, "url nats://host (NATS_URL), user bob (Settings.User), password *** (NATS_PASSWORD), namespace shop (Settings.Namespace)", r.String())
}
