package collect_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The rights of docs/monitor.md, and half of them.
const permissions = `
jetstream {store_dir: %STORE%}
authorization {
  users = [
    {user: all, password: pw}
    {user: monitor, password: pw, permissions: {subscribe: ["_INBOX.>", "aegis.beat.>", "aegis.led.>"], publish: [
      "$SRV.STATS.*", "aegis.live.>", "aegis.ask.*.*.*.*.all", "aegis.*._void.*",
      "$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.DIRECT.GET.>",
      "$JS.API.CONSUMER.LIST.*",
      "$JS.API.CONSUMER.CREATE.KV_aegis-registry.>", "$JS.FC.KV_aegis-registry.>", "$JS.API.CONSUMER.CREATE.KV_aegis-leaders.>"]}}
    {user: beats, password: pw, permissions: {subscribe: ["_INBOX.>", "aegis.beat.>"], publish: [
      "$JS.API.STREAM.INFO.KV_aegis-registry", "$JS.API.CONSUMER.CREATE.KV_aegis-registry.>", "$JS.FC.KV_aegis-registry.>"]}}
    {user: nothing, password: pw, permissions: {subscribe: ["_INBOX.>"], publish: ["x"]}}
  ]
}
`

// startWithUsers starts a NATS server with these users, and returns what connects as one of
// them.
func startWithUsers(t *testing.T) func(user string) *aegis.Conn {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "nats.conf")
	text := strings.ReplaceAll(permissions, "%STORE%", `"`+filepath.Join(dir, "js")+`"`)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	return func(user string) *aegis.Conn {
		conn, err := aegis.Connect(t.Context(), strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), silent())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
}

var allSources = []monitorapi.SourceName{
	monitorapi.SourceInstances, monitorapi.SourceFigures, monitorapi.SourceLeaders, monitorapi.SourceWork, monitorapi.SourceDeadLetters,
}

func TestDocumentedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	connect := startWithUsers(t)
	serveOrders(t, connect("all"), "a")
	startWorker(t, connect("all"))
	w := watch(t, connect("monitor"))
	w.leader(t)
	for _, name := range allSources {
		eventually(t, string(name)+" is ready", func() bool { return w.is(name, monitorapi.SourceReady) })
		require.Empty(t, w.problem(name), name)
	}
	eventually(t, "the records and candidates are read", func() bool {
		return w.with(func() bool { return len(w.records) == 1 && len(w.records[0].Candidates) == 1 })
	})
	require.Zero(t, w.logs.lines(), "%s", w.logs)
}

func TestEachPartThatIsDeniedNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	connect := startWithUsers(t)
	serveOrders(t, connect("all"), "a")
	w := watch(t, connect("beats"))
	eventually(t, "instances are known", func() bool { return w.with(func() bool { return len(w.instances) == 1 }) })
	require.True(t, w.is(monitorapi.SourceInstances, monitorapi.SourceReady))
	for name, missing := range map[monitorapi.SourceName]string{
		monitorapi.SourceFigures:     "$SRV.STATS.*",
		monitorapi.SourceLeaders:     "STREAM.MSG.GET.KV_aegis-leaders",
		monitorapi.SourceWork:        "STREAM.LIST",
		monitorapi.SourceDeadLetters: "STREAM.LIST",
	} {
		eventually(t, string(name)+" is denied", func() bool { return w.is(name, monitorapi.SourceDenied) })
		require.Contains(t, w.problem(name), missing)
	}
	require.Equal(t, 4, w.logs.lines(), "one line for each source: %s", w.logs)
}

func TestUserWithoutAnyPermission(t *testing.T) {
	t.Parallel()
	connect := startWithUsers(t)
	serveProbe(t, connect("all"), "a")
	w := watch(t, connect("nothing"))
	eventually(t, "instances are denied", func() bool { return w.is(monitorapi.SourceInstances, monitorapi.SourceDenied) })
	require.Contains(t, w.problem(monitorapi.SourceInstances), "aegis.beat.>")
	for _, name := range []monitorapi.SourceName{monitorapi.SourceLeaders, monitorapi.SourceWork} {
		eventually(t, string(name)+" is denied", func() bool { return w.is(name, monitorapi.SourceDenied) })
	}
	require.True(t, w.with(func() bool { return w.connected }))
}
