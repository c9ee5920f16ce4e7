package monitor_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// write writes a file that only this user can read.
func write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// refused runs a monitor that does not start, and returns its error. NATS is not needed.
func refused(t *testing.T, code int, env []string, args ...string) string {
	t.Helper()
	r := clitest.Run(t, append(env, "NATS_URL=nats://127.0.0.1:1"), append([]string{"monitor"}, args...)...)
	assert.Equal(t, code, r.Code, "%v: %s", args, r.Err)
	assert.Empty(t, r.Out)
	return r.Err
}

func TestNobodyIsLetInFromElsewhereUnasked(t *testing.T) {
	t.Parallel()
	token, password := write(t, "token", "s3cr3t\n"), write(t, "basic", "ops:pa:ss\n")
	for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		told := refused(t, 2, nil, "--listen", listen)
		assert.Contains(t, told, "nobody would be asked who they are; give --token-file, --basic-auth-file or --proxy-header")
		assert.Contains(t, told, "--no-auth")
	}
	for _, flags := range [][]string{{"--token-file", token}, {"--basic-auth-file", password}} {
		told := refused(t, 2, nil, append(flags, "--listen", "0.0.0.0:0")...)
		assert.Contains(t, told, "give --tls-cert and --tls-key, or say --plain-http")
	}
	told := refused(t, 2, []string{"AEGIS_MONITOR_TOKEN=s3cr3t"}, "--listen", "0.0.0.0:0")
	assert.Contains(t, told, "give --tls-cert")
	assert.NotContains(t, told, "s3cr3t")
}

func TestWrongUseIsTold(t *testing.T) {
	t.Parallel()
	token := write(t, "token", "s3cr3t")
	for flags, want := range map[string]string{
		"--tls-cert cert.pem": "--tls-cert and --tls-key belong together",
		"--tls-key key.pem":   "--tls-cert and --tls-key belong together",
		"--tls-cert cert.pem --tls-key key.pem --plain-http": "leave it or --tls-cert out",
		"--path aegis":   "--path aegis: use letters",
		"--path /a/../b": "--path /a/../b: use letters",
		"--path /a//b":   "--path /a//b: use letters",
		"--path /{x}":    "--path /{x}: use letters",
		"--listen 127.0.0.1:0 --no-auth --token-file " + token:            "leave one of them out",
		"--listen 127.0.0.1:0 --no-auth --proxy-header X-Forwarded-User ": "leave one of them out",
	} {
		assert.Contains(t, refused(t, 2, nil, strings.Fields(flags)...), want)
	}
}

func TestSecretsThatCannotBeUsedAreTold(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct{ flag, value, want string }{
		{"--token-file", none, "no such file"},
		{"--token-file", write(t, "token", " \n"), "it is empty"},
		{"--token-file", write(t, "token", "s3cr3t more"), "which no header can carry"},
		{"--token-file", write(t, "token", strings.Repeat("s3cr3t", 1000)), "more than 4096 bytes"},
		{"--token-file", t.TempDir(), "is a directory"},
		{"--proxy-header", "X:User", "is no name of a header"},
		{"--basic-auth-file", write(t, "basic", ""), "it is empty"},
		{"--basic-auth-file", write(t, "basic", "s3cr3t"), "USER:PASSWORD"},
		{"--basic-auth-file", write(t, "basic", ":s3cr3t"), "USER:PASSWORD"},
		{"--basic-auth-file", write(t, "basic", "ops:"), "USER:PASSWORD"},
		{"--basic-auth-file", write(t, "basic", "ops:s3cr3t\nops:other"), "USER:PASSWORD"},
	} {
		told := refused(t, 1, nil, c.flag, c.value, "--listen", "127.0.0.1:0")
		assert.Contains(t, told, c.want)
		assert.NotContains(t, told, "s3cr3t")
	}
}

func TestAddressAndCertificateThatCannotBeUsedAreTold(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	told := refused(t, 1, nil, "--listen", taken.Addr().String())
	assert.Contains(t, told, "listens on "+taken.Addr().String()+" already")
	assert.Contains(t, told, "port 0 is a free one")
	told = refused(t, 1, nil, "--tls-cert", write(t, "cert.pem", "none"), "--tls-key", write(t, "key.pem", "none"))
	assert.Contains(t, told, "failed to find any PEM data")
}

// A user that NATS refuses is no reason to wait for NATS.
func TestUserThatNATSRefusesIsTold(t *testing.T) {
	t.Parallel()
	n := startSecured(t)
	r := clitest.Run(t, []string{"NATS_URL=" + n, "NATS_USER=ops", "NATS_PASSWORD=wrong"}, "monitor", "--listen", "127.0.0.1:0")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "NATS refuses this user")
	assert.Empty(t, r.Out)
}
