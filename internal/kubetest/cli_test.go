package kubetest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

const (
	echoService = echov1aegis.EchoServiceName
	echoMethod  = echoService + "/Echo"
)

func TestSubcommandsReachTheCluster(t *testing.T) {
	w := newWorld(t)
	w.natsWith("nats-0", embednats.Options{StoreDir: t.TempDir()})
	w.pods("nats-0")
	for args, says := range map[string]string{
		"ls":                                    echoService,
		"ls " + echoService:                     "RUNNING",
		"tree":                                  echoService,
		"health":                                echoService,
		"ping " + echoService:                   "ANSWERED",
		"describe " + echoService:               "echo.v1.EchoRequest",
		"call " + echoMethod + ` {"text":"hi"}`: `"hi"`,
		"bench " + echoMethod + ` {"text":"hi"} --requests 20`: "20",
		"commands": "", "deadletters": "", "leaders": "", "doctor": "nats",
		"send " + echoMethod:      "",
		"subscribe " + echoMethod: "",
	} {
		t.Run(args, func(t *testing.T) {
			before := w.Forwards("WebSocket")
			r := w.run(append(strings.Fields(args), "--kube")...)
			wrong := strings.HasPrefix(args, "send") || strings.HasPrefix(args, "subscribe") // it finds that out in the cluster
			assert.Equal(t, wrong, r.code != 0, "%d: %s%s", r.code, r.out, r.err)
			assert.Contains(t, r.out+r.err, says)
			assert.Greater(t, w.Forwards("WebSocket"), before)
		})
	}
	r := w.run("call", "--kube", "-o", "json", "--kube-context", "test", "--kube-namespace", "shop", "--nats-service", "nats", echoMethod, `{"text":"hi"}`)
	require.Zero(t, r.code, r.err)
	require.True(t, json.Valid([]byte(r.out)), r.out)
}

func TestContextsAreCompleted(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, "test\n:4\n", w.run("__completeNoDesc", "ls", "--kube", "--kube-context", "").out)
	require.Equal(t, ":4\n", w.run("__completeNoDesc", "ls", "--kube", "--kube-context", "x").out)
	require.Equal(t, ":4\n", w.runWith([]string{"KUBECONFIG=/nowhere"}, "__completeNoDesc", "ls", "--kube", "--kube-context", "").out)
	w.natsWith("nats-0", embednats.Options{StoreDir: t.TempDir()})
	w.pods("nats-0")
	eventually(t, "services of the cluster are completed", func() bool { // a shell waits for a second only
		return w.run("__completeNoDesc", "ls", "--kube", "").out == echoService+"\n:4\n"
	})
}

func TestCommandsSayWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	w.service("nats-b", nil, 4222)
	broken := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(broken, []byte("{"), 0o600))
	for name, is := range map[string]struct {
		denied string
		env    string
		flags  string
		says   []string
	}{
		"no kubeconfig":      {"", "KUBECONFIG=/nowhere/config", "", []string{"there is no kubeconfig with a context at /nowhere/config", "(--kube-context)"}},
		"a broken one":       {"", "KUBECONFIG=" + broken, "", []string{"the kubeconfig cannot be read"}},
		"no such context":    {"", "", "--kube-context prod", []string{`no context "prod"; it has: test`}},
		"no such service":    {"", "", "--nats-service queue", []string{"no service queue in the namespace shop"}},
		"nothing of NATS":    {"", "", "--kube-namespace empty", []string{"no service in the namespace empty", "--nats-service", "--kube-namespace"}},
		"several services":   {"", "", "", []string{"several services", "are of NATS: nats, nats-b; name one of them", "--nats-service"}},
		"may not list":       {"list services", "", "", []string{"may not list services in the namespace shop"}},
		"may not forward":    {"create pods/portforward", "", "--nats-service nats", []string{"may not create pods/portforward in the namespace shop", "server: --kube"}},
		"may not read":       {"get secrets", "", "--nats-service nats --nats-secret x", []string{"may not get secrets in the namespace shop"}},
		"no such Secret":     {"", "", "--nats-service nats --nats-secret x", []string{"no Secret x in the namespace shop", "--nats-secret"}},
		"an expired token":   {"all", "", "", []string{"does not know the user developer", "log in to the cluster again"}},
		"no pod of it is up": {"", "", "--nats-service nats-b", []string{"the service nats-b in the namespace shop has no pod that is ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			switch is.denied {
			case "all":
				w.PutUser("secret", nil)
			default:
				w.deny(is.denied)
			}
			for _, command := range []string{"ls", "ls -o json", "call " + echoMethod + " {}", "doctor -o json", "monitor --listen 127.0.0.1:0", "mcp"} {
				if name == "no pod of it is up" && strings.HasPrefix(command, "monitor") {
					continue // it waits for that
				}
				r := w.runWith([]string{is.env}, strings.Fields(command+" --kube "+is.flags)...)
				assert.Equal(t, 1, r.code, "%s: %s", command, r.err)
				assert.Empty(t, r.out)
				assert.True(t, strings.HasPrefix(r.err, "aegis: "), r.err)
				assert.Equal(t, 1, strings.Count(r.err, "\n"), r.err)
				assert.NotContains(t, r.err, "aegis kube")
				for _, text := range is.says {
					assert.Contains(t, r.err, text, command)
				}
			}
		})
	}
}

func TestFlagsThatWouldDoNothingAreRefused(t *testing.T) {
	w := newWorld(t)
	for args, says := range map[string]string{
		"ls --kube-context x":                                              "--kube-context is for the NATS of a cluster: give --kube as well",
		"ls --kube-namespace x":                                            "give --kube as well",
		"ls --nats-service x":                                              "give --kube as well",
		"ls --nats-secret x":                                               "give --kube as well",
		"ls --kube --server nats://127.0.0.1":                              "--kube and --server: both say where NATS is",
		"ls --kube --context x":                                            "--kube and --context",
		"ls --kube --socks-proxy socks5://127.0.0.1:1":                     "--kube and --socks-proxy",
		"ls --kube --nats-secret x --creds y":                              "--nats-secret and --creds: both say who the user is",
		"top --monitor http://127.0.0.1:1 --kube":                          "leave --kube out",
		"top --monitor http://127.0.0.1:1 --kube --user x":                 "leave --",
		"doctor --list --kube":                                             "leave --kube out",
		"doctor --print-permissions --role client --service a.v1.S --kube": "leave --kube out",
		"init x --kube":                                                    "does not connect to NATS; leave --kube out",
		"generate --kube":                                                  "does not connect to NATS; leave --kube out",
		"demo --kube":                                                      "leave --kube out",
		"dev --join":                                                       "--join is for the services of a cluster: give --kube as well",
		"dev --label a=b":                                                  "--label chooses among the instances of a cluster: give --kube as well",
		"dev --kube --port 4222":                                           "--port is for the NATS that dev starts",
		"dev --kube --clean":                                               "--clean deletes the files of the NATS that dev starts",
		"dev --kube --label a":                                             "--label a: use KEY=VALUE",
		"dev --kube --label a=b,c":                                         "has no comma",
		"dev --kube --label =b":                                            `--label: label "" is not a key`,
	} {
		r := w.run(strings.Fields(args)...)
		assert.Equal(t, 2, r.code, "%s: %s", args, r.err)
		assert.Contains(t, r.err, says, args)
		assert.Empty(t, r.out, args)
	}
}

// overviewOf asks a monitor how all is.
func overviewOf(t *testing.T, url string) (o monitorapi.Overview) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Get(url + "api/v1/overview") //nolint:noctx // it has a timeout
	require.NoError(t, err)
	defer res.Body.Close() //nolint:errcheck // it was read
	require.NoError(t, json.NewDecoder(res.Body).Decode(&o))
	return o
}

// sees tells whether a monitor sees the service in the cluster.
func sees(t *testing.T, url string) bool {
	t.Helper()
	o := overviewOf(t, url)
	return o.NATS.Connected && len(o.Services) == 1
}

func TestMonitorStartsBeforeNATSAndFollowsItsPod(t *testing.T) {
	w := newWorld(t)
	w.pods()
	p := w.start(w.command(nil, "monitor", "--kube", "--listen", "127.0.0.1:0", "-o", "json"))
	p.await("The monitor starts without NATS, and connects when it comes: ")
	p.await("the service nats in the namespace shop has no pod that is ready")
	p.await(`"connected":false`)
	var started struct{ URL string }
	require.NoError(t, json.Unmarshal([]byte(p.out.String()), &started))
	s := w.nats("nats-0")
	w.pods("nats-0")
	p.until("it sees the service", func() bool { return sees(t, started.URL) })
	w.pods()
	w.RemovePod("shop", "nats-0", true)
	p.await("NATS in the cluster cannot be reached")
	w.PutPod("shop", "nats-1", s.Addr().String())
	w.pods("nats-1")
	p.await("NATS in the cluster is reached again")
	p.until("it sees the service again", func() bool { return sees(t, started.URL) })
	require.Equal(t, 130, p.interrupt())
}

func TestToolsOfMCPFollowThePod(t *testing.T) {
	w := newWorld(t)
	s := w.nats("nats-0")
	w.pods("nats-0")
	client := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil)
	session, err := client.Connect(t.Context(), &mcp.CommandTransport{Command: w.command(nil, "mcp", "--kube", "--allow-writes")}, nil)
	require.NoError(t, err)
	defer session.Close() //nolint:errcheck // it has answered
	works := func() bool {
		res, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo-v1-EchoService-Echo", Arguments: map[string]any{"text": "hi"}})
		return err == nil && !res.IsError
	}
	eventually(t, "the tool works", works)
	w.move(s.Addr().String(), "nats-0", "nats-1")
	eventually(t, "the tool works again", works)
	require.Equal(t, 2, w.Forwards("WebSocket"))
}
