package aegisenv_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// The file is one that nats context add writes (v0.5.1), with all keys.
func TestContextOfTheNATSToolIsRead(t *testing.T) {
	config := environment(t, nil)
	write(t, filepath.Join(config, "nats", "context", "all.json"), []byte(`{
  "description": "for tests",
  "url": "nats://one:4222,nats://two:4222",
  "socks_proxy": "socks5://proxy:1080",
  "token": "",
  "user": "",
  "password": "",
  "creds": "~/user.creds",
  "nkey": "",
  "cert": "$OF_TEST/cert",
  "key": "${OF_TEST}/key",
  "ca": "~/ca",
  "nsc": "",
  "jetstream_domain": "hub",
  "jetstream_api_prefix": "",
  "jetstream_event_prefix": "events",
  "inbox_prefix": "_MINE",
  "user_jwt": "",
  "user_seed": "",
  "color_scheme": "",
  "tls_first": true,
  "windows_cert_store": "",
  "windows_cert_match_by": "",
  "windows_cert_match": "",
  "windows_ca_certs_match": null
}`))
	t.Setenv("OF_TEST", "/dir")
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	for _, name := range []string{"all", filepath.Join(config, "nats", "context", "all.json")} {
		r := resolve(t, aegisenv.Settings{Context: name})
		assert.Equal(t, []string{
			"nats://one:4222,nats://two:4222", "socks5://proxy:1080", home + "/user.creds", "/dir/cert", "/dir/key", home + "/ca", "hub", "_MINE",
		}, []string{r.URL, r.SOCKSProxy, r.Creds, r.TLSCert, r.TLSKey, r.TLSCA, r.JSDomain, r.InboxPrefix})
		assert.True(t, r.TLSFirst)
		assert.Equal(t, name, r.Context)
	}
}

func TestContextThatIsNotThereIsToldWithThoseThatAre(t *testing.T) {
	config := environment(t, map[string]string{"NATS_CONTEXT": "prd"})
	text := refused(t, aegisenv.Settings{})
	assert.Contains(t, text, `NATS_CONTEXT: there is no NATS context "prd"`)
	assert.Contains(t, text, "has no others")
	writeContext(t, config, "staging", nil)
	writeContext(t, config, "prod", nil)
	assert.Contains(t, refused(t, aegisenv.Settings{}), "there are: prod, staging")
	assert.Contains(t, refused(t, flags(aegisenv.Settings{Context: "x"})), `--context: there is no NATS context "x"`)
	t.Setenv("NATS_CONTEXT", "")
	where := write(t, filepath.Join(config, "nats", "context.txt"), []byte("gone"))
	assert.Contains(t, refused(t, aegisenv.Settings{SelectedContext: true}), "selected in "+where+`: there is no NATS context "gone"`)
}

func TestContextThatCannotBeUsedIsToldWithTheReason(t *testing.T) {
	config := environment(t, nil)
	path := filepath.Join(config, "nats", "context", "bad.json")
	for text, reason := range map[string]string{
		`{"url": `:                        "it is no JSON object",
		`[]`:                              "it is no JSON object",
		`{"password": 314159}`:            "password is no string",
		`{"tls_first": "yes"}`:            "tls_first is neither true nor false",
		`{"windows_cert_store": "user"}`:  "windows_cert_store is not supported",
		`{"url": "http://host"}`:          `url of the NATS context ` + path + `: http://host is no URL of a NATS server: the scheme is "http"`,
		`{"inbox_prefix": "a.>"}`:         `inbox_prefix of the NATS context ` + path,
		`{"jetstream_api_prefix": "a b"}`: `jetstream_api_prefix of the NATS context ` + path,
		`{"creds": "env://NOT_SET_HERE"}`: "creds of the NATS context " + path + ": the user's credentials: the variable NOT_SET_HERE is not set",
	} {
		write(t, path, []byte(text))
		is := refused(t, aegisenv.Settings{Context: "bad"})
		assert.Contains(t, is, reason)
		assert.Contains(t, is, path)
		assert.NotContains(t, is, "314159")
	}
	assert.Contains(t, refused(t, aegisenv.Settings{Context: "../bad"}), "is no name of a NATS context")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	assert.Contains(t, refused(t, aegisenv.Settings{Context: "bad"}), "cannot be read")
}

// program puts a program of this name first into PATH, which prints the output and notes
// its arguments in the file that is returned.
func program(t *testing.T, name, output string) (args string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	dir := t.TempDir()
	args = filepath.Join(dir, "args")
	write(t, filepath.Join(dir, "output"), []byte(output))
	path := write(t, filepath.Join(dir, name), []byte("#!/bin/sh\necho \"$*\" >>"+args+"\ncat "+filepath.Join(dir, "output")+"\n"))
	require.NoError(t, os.Chmod(path, 0o700))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return args
}

func TestContextMayLeaveItsUserToNSC(t *testing.T) {
	op := startOperator(t)
	creds := write(t, filepath.Join(t.TempDir(), "user.creds"), []byte(op.creds))
	config := environment(t, nil)
	args := program(t, "nsc", `{"user_creds": "`+creds+`", "operator": {"service": ["`+op.url+`"]}}`)
	writeContext(t, config, "older", map[string]any{"nsc": "nsc://O/A/U"})
	writeContext(t, config, "newer", map[string]any{"url": op.url, "creds": "nsc://O/A/U"})
	for _, name := range []string{"older", "newer"} {
		connects(t, aegisenv.Settings{Context: name})
	}
	text, err := os.ReadFile(args)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("generate profile nsc://O/A/U\n", 4), string(text))
	program(t, "nsc", "s3cr3t")
	text2 := refused(t, aegisenv.Settings{Context: "older"})
	assert.Contains(t, text2, "the output of the program nsc is no JSON")
	assert.NotContains(t, text2, "s3cr3t")
}

func TestSecretsMayBeKeptBy1Password(t *testing.T) {
	environment(t, map[string]string{"NATS_URL": serveNATS(t, `authorization { token: "t0k3n" }`), "NATS_TOKEN": "op://vault/nats/token"})
	args := program(t, "op", "t0k3n\n")
	connects(t, aegisenv.Settings{})
	text, err := os.ReadFile(args)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("read op://vault/nats/token\n", 2), string(text))
}

// socks is a SOCKS5 proxy that connects to one address, whatever it is asked for, and
// tells the names that it was asked for.
func socks(t *testing.T, address string) (url string, names <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	asked := make(chan string, 16)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(client, address, asked)
		}
	}()
	return "socks5://" + listener.Addr().String(), asked
}

func relay(client net.Conn, address string, asked chan<- string) {
	defer client.Close()
	head := make([]byte, 2)
	if _, err := io.ReadFull(client, head); err != nil { // version, number of methods
		return
	}
	_, _ = io.ReadFull(client, make([]byte, head[1]))
	_, _ = client.Write([]byte{5, 0})
	request := make([]byte, 5) // version, connect, 0, a name, its length
	if _, err := io.ReadFull(client, request); err != nil {
		return
	}
	name := make([]byte, int(request[4])+2)
	_, _ = io.ReadFull(client, name)
	asked <- string(name[:request[4]])
	_, _ = client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

func TestConnectionMayGoThroughAProxy(t *testing.T) {
	proxy, names := socks(t, strings.TrimPrefix(serveNATS(t, ""), "nats://"))
	config := environment(t, map[string]string{"NATS_URL": "nats://localhost:4222", "NATS_SOCKS_PROXY": proxy})
	connects(t, aegisenv.Settings{})
	assert.Equal(t, "localhost", <-names, "the proxy looks it up")
	t.Setenv("NATS_SOCKS_PROXY", "")
	writeContext(t, config, "far", map[string]any{"socks_proxy": proxy})
	connects(t, aegisenv.Settings{Context: "far"})
	text := refused(t, aegisenv.Settings{SOCKSProxy: "ftp://x:s3cr3t@host"})
	assert.Contains(t, text, "Settings.SOCKSProxy: ftp://***@host is no URL of a SOCKS5 proxy")
}
