package aegisenv_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

func TestConnectTakesEverythingFromTheEnvironment(t *testing.T) {
	environment(t, map[string]string{"NATS_URL": serveNATS(t, ""), "AEGIS_INBOX_PREFIX": "_MINE", "AEGIS_INSTANCE": "orders-1", "AEGIS_BUILD": "v7"})
	conn, err := aegisenv.Connect(deadline(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	program := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	assert.Equal(t, "orders-1 "+program+" v7", conn.NATS().Opts.Name)
	assert.True(t, strings.HasPrefix(conn.NATS().NewInbox(), "_MINE."))
	assert.Equal(t, -1, conn.NATS().Opts.MaxReconnect, "the defaults of aegis.Connect hold")
	nc, err := aegisenv.Settings{}.ConnectNATS(deadline(t))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	assert.Equal(t, program, strings.Fields(nc.Opts.Name)[0], "without Aegis there is no instance")
}

func TestOptionsGoOverTheEnvironment(t *testing.T) {
	environment(t, map[string]string{"NATS_URL": serveNATS(t, "")})
	conn := connects(t, aegisenv.Settings{}, aegis.WithNATSOptions(nats.Name("billing")))
	assert.Equal(t, "billing", conn.NATS().Opts.Name)
	_, err := aegisenv.Settings{}.Connect(deadline(t), aegis.WithNamespace("a b"))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	assert.NotContains(t, err.Error(), "NATS_URL", "that is not the fault of the environment")
}

func TestEveryWayToAuthenticateWorksFromEveryPlace(t *testing.T) {
	user := newPair(t, nkeys.CreateUser)
	op := startOperator(t)
	dir := t.TempDir()
	seed := write(t, filepath.Join(dir, "user.nk"), []byte(user.seed))
	creds := write(t, filepath.Join(dir, "user.creds"), []byte(op.creds))
	password := serveNATS(t, `authorization { user: bob, password: "s3cr3t" }`)
	token := serveNATS(t, `authorization { token: "t0k3n" }`)
	nkey := serveNATS(t, `authorization { users: [ { nkey: `+user.public+` } ] }`)
	inline := func(text string) string { return "data:;base64," + base64.StdEncoding.EncodeToString([]byte(text)) }
	t.Setenv("OF_ANOTHER_NAME", "s3cr3t")
	for name, is := range map[string]struct {
		url      string
		settings map[string]string // by the name of the flag
	}{
		"user and password":          {password, map[string]string{"user": "bob", "password": "s3cr3t"}},
		"password in a variable":     {password, map[string]string{"user": "bob", "password": "env://OF_ANOTHER_NAME"}},
		"user in the URL":            {strings.Replace(password, "://", "://bob:s3cr3t@", 1), nil},
		"token":                      {token, map[string]string{"token": "t0k3n"}},
		"token in a file":            {token, map[string]string{"token": "file://" + write(t, filepath.Join(dir, "token"), []byte("t0k3n\n"))}},
		"nkey":                       {nkey, map[string]string{"nkey": seed}},
		"nkey by a reference":        {nkey, map[string]string{"nkey": inline(user.seed)}},
		"credentials":                {op.url, map[string]string{"creds": creds}},
		"credentials by a reference": {op.url, map[string]string{"creds": inline(op.creds)}},
		"credentials, file://":       {op.url, map[string]string{"creds": "file://" + creds}},
		"JWT and seed":               {op.url, map[string]string{"jwt": op.jwt, "seed": op.seed}},
	} {
		t.Run(name, func(t *testing.T) {
			config := environment(t, nil)
			file := map[string]any{"url": is.url}
			var fields aegisenv.Settings
			aegisenv.BindFlags(&fields, func(value *string, name, _, _ string) { *value = is.settings[name] })
			for name, value := range is.settings {
				file[strings.NewReplacer("jwt", "user_jwt", "seed", "user_seed").Replace(name)] = value
			}
			fields.URL = is.url
			connects(t, fields)

			writeContext(t, config, "here", file)
			connects(t, aegisenv.Settings{Context: "here"})

			aegisenv.BindFlags(new(aegisenv.Settings), func(_ *string, name, variable, _ string) { t.Setenv(variable, is.settings[name]) })
			t.Setenv("NATS_URL", is.url)
			connects(t, aegisenv.Settings{})
			if is.settings != nil {
				for name := range is.settings {
					t.Setenv("NATS_"+strings.ToUpper(name), "")
				}
				assert.Contains(t, refused(t, aegisenv.Settings{}), "NATS wants a user", "the server asks for it")
			}
		})
	}
}

func TestUserWithoutPasswordIsAToken(t *testing.T) {
	environment(t, map[string]string{"NATS_URL": serveNATS(t, `authorization { token: "t0k3n" }`), "NATS_USER": "t0k3n"})
	connects(t, aegisenv.Settings{})
	t.Setenv("NATS_USER", "another")
	text := refused(t, aegisenv.Settings{})
	assert.Contains(t, text, "token: NATS_USER, as there is no password")
	assert.NotContains(t, text, "another")
}

func TestCredentialsAreReadAnewForEachConnection(t *testing.T) {
	op, other := startOperator(t), startOperator(t)
	file := write(t, filepath.Join(t.TempDir(), "user.creds"), []byte(op.creds))
	environment(t, map[string]string{"NATS_URL": op.url, "NATS_CREDS": file})
	conn := connects(t, aegisenv.Settings{})
	write(t, file, []byte(other.creds))
	jwt, err := conn.NATS().Opts.UserJWT()
	require.NoError(t, err)
	assert.Equal(t, other.jwt, jwt)
}

func TestNamespaceAndJetStreamComeFromTheEnvironment(t *testing.T) {
	environment(t, map[string]string{"NATS_URL": serveNATS(t, ""), "AEGIS_NAMESPACE": "shop"})
	conn := connects(t, aegisenv.Settings{})
	sub, err := conn.NATS().Subscribe("shop.call.echo.v1.EchoService.Echo", func(m *nats.Msg) { _ = m.Respond(nil) })
	require.NoError(t, err)
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(t, err)
	_, err = client.Echo(deadline(t), &echov1.EchoRequest{})
	require.NoError(t, err)

	for _, variable := range []string{"AEGIS_JS_DOMAIN", "AEGIS_JS_API_PREFIX"} {
		t.Setenv(variable, "hub")
		connects(t, aegisenv.Settings{})
		_, err = aegisenv.Connect(deadline(t), aegis.WithJetStreamDomain("other"))
		require.ErrorContains(t, err, "give one of them, once", "it is set already")
		t.Setenv(variable, "")
	}
}

// docs/connecting.md shows code that the examples have, and all variables.
func TestDocumentShowsCodeThatCompilesAndAllVariables(t *testing.T) {
	text, err := os.ReadFile("../../docs/connecting.md")
	require.NoError(t, err)
	var sources []string
	for _, name := range []string{"example_test.go", "ways_ext_test.go"} {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		sources = append(sources, strings.ReplaceAll(string(source), "return ", "conn, err := "))
	}
	tested := strings.Join(sources, "\n")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)\n```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 3)
	for _, block := range blocks {
		for line := range strings.SplitSeq(block[1], "\n") {
			line, _, _ := strings.Cut(line, " //")
			assert.Contains(t, tested, strings.TrimSpace(line)+"\n")
		}
	}
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	aegisenv.BindFlags(new(aegisenv.Settings), func(_ *string, _, variable, _ string) {
		assert.Contains(t, string(doc), variable)
	})
}
