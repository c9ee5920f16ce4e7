package kubetest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// developed is the server of the developer's project, which answers with the name of its
// instance; that in the cluster answers without.
const developed = `package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

type echo struct {
	echov1aegis.UnimplementedEchoServiceServer
}

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Text: req.GetText(), Instance: "mine"}, nil
}

func main() {
	if err := run(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println("environment is", os.Getenv("AEGIS_ENVIRONMENT"), "and user is", os.Getenv("NATS_USER"))
	conn, err := aegisenv.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	srv, err := aegis.NewServer(conn)
	if err != nil {
		return err
	}
	if err := echov1aegis.RegisterEchoServiceServer(srv, echo{}); err != nil {
		return err
	}
	return srv.Run(ctx)
}
`

// project makes the developer's project, with the modules of this checkout.
func project(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	text := strings.Replace(string(mod), "module github.com/aegisrpc/aegis\n", "module example.com/mine\n", 1) +
		"\nrequire github.com/aegisrpc/aegis v0.0.0\n\nreplace github.com/aegisrpc/aegis => " + root + "\n"
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "server"), 0o750))
	for name, content := range map[string]string{"go.mod": text, "go.sum": string(sum), "server/main.go": developed} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

// develop runs aegis dev --kube in a project, until its server serves.
func (w *world) develop(env []string, args ...string) *process {
	w.t.Helper()
	cmd := w.command(env, append([]string{"dev", "--kube", "--monitor", "127.0.0.1:0"}, args...)...)
	cmd.Dir = project(w.t)
	p := w.start(cmd)
	p.await("echo.v1.EchoService is served")
	return p
}

// answers returns how many of n calls the developer's server has answered, and how many have
// failed.
func answers(t *testing.T, conn *aegis.Conn, n int, opts ...aegis.CallOption) (mine, failed int) {
	t.Helper()
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(t, err)
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		res, err := client.Echo(ctx, &echov1.EchoRequest{Text: "hi"}, opts...)
		cancel()
		switch {
		case err != nil:
			failed++
		case res.GetInstance() == "mine":
			mine++
		}
	}
	return mine, failed
}

// reaches waits until calls that choose the developer's server come to it.
func reaches(t *testing.T, conn *aegis.Conn, label, value string) {
	t.Helper()
	eventually(t, "the developer's server answers", func() bool {
		mine, _ := answers(t, conn, 1, aegis.WhereLabel(label, value))
		return mine == 1
	})
}

func TestADevelopersServerGetsOnlyCallsThatChooseIt(t *testing.T) {
	w := newWorld(t)
	s := w.nats("nats-0")
	w.pods("nats-0")
	p := w.develop([]string{"USER=anna"}, "--label", "team=orders", "--label", "dev=anna")
	p.await("NATS is the service shop/nats of the context test")
	p.await("only calls that choose them reach them, with aegis call --kube --where team=orders")
	p.await("echo.v1.EchoService is served to calls that choose it")
	p.await("the monitor shows the services at http://127.0.0.1:")
	conn := w.connect(w.settings())
	for _, label := range [][2]string{{"team", "orders"}, {"dev", "anna"}} {
		reaches(t, conn, label[0], label[1])
	}
	mine, failed := answers(t, conn, 200)
	assert.Equal(t, []int{0, 0}, []int{mine, failed}, "all others are the cluster's")
	mine, failed = answers(t, conn, 50, aegis.WhereLabel("dev", "anna"))
	assert.Equal(t, []int{50, 0}, []int{mine, failed})

	w.pods()
	w.RemovePod("shop", "nats-0", true)
	p.await("NATS in the cluster cannot be reached; it is tried again")
	w.PutPod("shop", "nats-1", s.Addr().String())
	w.pods("nats-1")
	p.await("NATS in the cluster is reached again")
	reaches(t, conn, "dev", "anna")
	mine, _ = answers(t, conn, 50)
	assert.Zero(t, mine)
	assert.Equal(t, 130, p.interrupt())
	assert.NotContains(t, p.out.String(), "NATS with JetStream listens")
	assert.NotContains(t, p.out.String(), "socks5://", "nobody else is to know the password of the proxy")
	instances, err := conn.Instances(t.Context(), echoService)
	require.NoError(t, err)
	assert.Len(t, instances, 1, "it has left")
}

func TestADevelopersServerMayTakeItsShare(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	p := w.develop([]string{"AEGIS_LABELS=dev=bob,tier=gold", "AEGIS_RESERVED=1"}, "--join", "--kube-context", "test")
	p.await("The servers share the work of the cluster")
	conn := w.connect(w.settings())
	reaches(t, conn, "tier", "gold")
	reaches(t, conn, "dev", "bob")
	eventually(t, "it gets a share of all calls", func() bool { mine, _ := answers(t, conn, 50); return mine > 0 })
	assert.Equal(t, 130, p.interrupt())
}

// The lines that call methods are for this cluster and these servers.
func TestDevTellsHowItsServersAreCalled(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	folder := t.TempDir()
	made := w.command(nil, "init", "shop", "--pattern", "load_balanced,single_active,event,command")
	made.Dir = folder
	out, err := made.CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := w.command([]string{"AEGIS_LABELS=dev=anna"}, "dev", "--kube", "--nats-service", "nats", "--monitor", "off")
	cmd.Dir = filepath.Join(folder, "shop")
	p := w.start(cmd)
	p.await("shop.v1.ShopService is served to calls that choose it; call it from another terminal:")
	p.await(`aegis call --kube --nats-service nats --where dev=anna shop.v1.ShopService/Hello '{"name": "NATS"}'`)
	assert.Equal(t, 130, p.interrupt())
	assert.Equal(t, 1, strings.Count(p.out.String(), "--where dev=anna shop."), "nothing else reaches it")
	assert.NotContains(t, p.out.String(), "echo.v1", "the instances of the cluster are no news")
}

func TestADevelopersServerHasTheCredentialsOfTheSecret(t *testing.T) {
	w := newWorld(t)
	w.guarded("nats-0", `user: bob, password: "s3cr3t"`)
	w.PutSecret(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"},
		Data:       map[string][]byte{"username": []byte("bob"), "password": []byte("s3cr3t")},
	})
	env := []string{"NATS_USER=other", "NATS_PASSWORD=wrong", "NATS_URL=nats://127.0.0.1:1", "AEGIS_ENVIRONMENT=kubernetes"}
	p := w.develop(env, "--nats-secret", "orders")
	p.await("environment is kubernetes and user is bob")
	p.await("aegis call --kube --nats-secret orders --where dev=")
	assert.NotContains(t, p.out.String(), "s3cr3t")
	assert.Equal(t, 130, p.interrupt())
}

func TestDevSaysWhatIsMissingInTheCluster(t *testing.T) {
	w := newWorld(t)
	w.nats("nats-0")
	w.pods("nats-0")
	dir := project(t)
	for denied, says := range map[string]string{
		"list services":           "may not list services in the namespace shop",
		"create pods/portforward": "may not create pods/portforward in the namespace shop",
	} {
		w.deny(denied)
		cmd := w.command(nil, "dev", "--kube")
		cmd.Dir = dir
		var problems strings.Builder
		cmd.Stderr = &problems
		err := cmd.Run()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 1, exit.ExitCode())
		assert.Contains(t, problems.String(), says)
	}
}
