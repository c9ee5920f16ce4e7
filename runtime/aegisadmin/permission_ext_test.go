package aegisadmin_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The rights of docs/protocol.md for who looks after commands, dead letters and streams.
const permissions = `
jetstream {store_dir: %STORE%}
authorization {
  users = [
    {user: all, password: pw}
    {user: commands, password: pw, permissions: {subscribe: ["_INBOX.>"], publish: [
      "$JS.API.STREAM.INFO.%C%", "$JS.API.STREAM.MSG.GET.%C%", "$JS.API.CONSUMER.LIST.%C%", "$JS.API.STREAM.MSG.GET.%R%",
      "aegis.res.aegistest.v1.JobService.*.*.stop", "aegis.told.aegistest.v1.JobService.*.*.stop", "$JS.API.STREAM.INFO.%R%",
      "$JS.API.STREAM.MSG.DELETE.%C%", "$JS.API.CONSUMER.PAUSE.%C%.>"]}}
    {user: looks, password: pw, permissions: {subscribe: ["_INBOX.>"], publish: [
      "$JS.API.STREAM.INFO.aegis-events-aegistest-v1-JobService", "$JS.API.STREAM.INFO.%C%", "$JS.API.STREAM.INFO.%R%", "$JS.API.STREAM.INFO.aegis-dead-aegistest-v1-JobService", "$JS.API.STREAM.INFO.aegis-attempts-aegistest-v1-JobService",
      "$JS.API.CONSUMER.LIST.%C%", "$JS.API.CONSUMER.LIST.aegis-events-aegistest-v1-JobService"]}}
    {user: nothing, password: pw, permissions: {subscribe: ["_INBOX.>"], publish: ["x"]}}
  ]
}
`

func TestDocumentedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "nats.conf")
	text := strings.NewReplacer("%STORE%", `"`+filepath.Join(dir, "js")+`"`, "%C%", "aegis-commands-aegistest-v1-JobService",
		"%R%", "aegis-results-aegistest-v1-JobService").Replace(permissions)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string) *aegisadmin.Admin {
		conn, err := aegis.Connect(t.Context(), strings.Replace(n.URL(), "://", "://"+user+":pw@", 1))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(t.Context()) })
		return aegisadmin.New(conn)
	}
	conn, err := aegis.Connect(t.Context(), strings.Replace(n.URL(), "://", "://all:pw@", 1))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	stop := startWorkerOn(t, conn, answer)
	stop()
	client := newJobs(t, conn)
	send(t, client, "canceled")
	send(t, client, "deleted")
	later := send(t, client, "waits")

	a := as("commands")
	methods, err := a.CommandMethods(t.Context(), jobService)
	require.NoError(t, err)
	require.Len(t, methods, 2)
	all := list(t, a, aegisadmin.CommandFilter{})
	require.Len(t, all, 3)
	_, err = a.Command(t.Context(), jobService, later.ID())
	require.NoError(t, err)
	if err := a.CancelCommand(t.Context(), all[0]); err != nil {
		t.Fatalf("%#v", err)
	}
	require.NoError(t, a.DeleteCommand(t.Context(), all[1]))
	require.Len(t, list(t, a, aegisadmin.CommandFilter{}), 2)
	require.NoError(t, a.Pause(t.Context(), workOf2(t, as("all"), "Work"), time.Now().Add(time.Hour)))
	require.NoError(t, a.Resume(t.Context(), workOf2(t, as("all"), "Work")))
	streams, err := as("looks").Streams(t.Context(), jobService)
	require.NoError(t, err)
	require.NotEmpty(t, streams)

	// Without them the error comes at once, and names the right that is missing.
	a = as("nothing")
	began := time.Now()
	for _, try := range []func() error{
		func() error { _, err := a.CommandMethods(t.Context(), jobService); return err },
		func() error { _, err := a.Streams(t.Context(), jobService); return err },
		func() error { _, err := a.Services(t.Context()); return err },
		func() error { _, err := a.Work(t.Context(), jobService); return err },
		func() error { _, err := a.Leaders(t.Context(), jobService); return err },
		func() error { _, err := a.DeadLetterGroups(t.Context(), jobService); return err },
		func() error {
			_, err := a.HandOver(t.Context(), jobService, "default", aegisadmin.HandOver{})
			return err
		},
		func() error {
			for _, err := range a.Commands(t.Context(), jobService, aegisadmin.CommandFilter{}) {
				return err
			}
			return errors.New("no error")
		},
	} {
		err := try()
		require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err), "%v", err)
	}
	require.Less(t, time.Since(began), 4*time.Second)
}

// workOf2 is workOf by an administration that may look at events as well.
func workOf2(t *testing.T, a *aegisadmin.Admin, method string) aegisadmin.Work {
	t.Helper()
	return workOf(t, a, jobService, method)
}
