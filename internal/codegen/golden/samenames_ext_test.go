package golden_test

import (
	"testing"

	samenamesv1 "github.com/aegisrpc/aegis/internal/codegen/golden/samenames"
	"github.com/aegisrpc/aegis/internal/codegen/golden/samenames/samenamesv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// Two services of one Go package have a command of the same name, and each finds only
// its own.
func TestCommandsOfTheSameNameAreFoundByTheirService(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	client, err := samenamesv1aegis.NewBackupServiceClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := client.Run(t.Context(), &samenamesv1.RunRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for service, test := range map[string]struct {
		found *aegis.Command[samenamesv1.RunResponse]
		want  aegis.CommandState
	}{
		samenamesv1aegis.BackupServiceName: {samenamesv1aegis.BackupServiceRunCommand(conn, sent.ID()), aegis.CommandQueued},
		samenamesv1aegis.ReportServiceName: {samenamesv1aegis.ReportServiceRunCommand(conn, sent.ID()), aegis.CommandUnknown},
	} {
		if status, err := test.found.Status(t.Context()); err != nil || status.State != test.want {
			t.Errorf("%s: %v, %v, want %v", service, status, err, test.want)
		}
	}
}

// The constants have no type, so that they can be compared with strings as well as with
// the names of descriptors.
func TestFullNamesAreThoseOfTheDescriptors(t *testing.T) {
	t.Parallel()
	backup := descriptorOf(t, samenamesv1aegis.BackupServiceName).Methods()
	for i, want := range []string{
		samenamesv1aegis.BackupServiceGetFullName, samenamesv1aegis.BackupServiceRunFullName,
		samenamesv1aegis.BackupServiceStartedFullName, samenamesv1aegis.BackupServiceFinishedFullName,
	} {
		if got := string(backup.Get(i).FullName()); got != want {
			t.Errorf("the descriptor says %s, the constant %s", got, want)
		}
	}
	report := descriptorOf(t, samenamesv1aegis.ReportServiceName).Methods()
	if got := report.Get(0).FullName(); got != samenamesv1aegis.ReportServiceGetFullName {
		t.Errorf("the descriptor says %s, the constant %s", got, samenamesv1aegis.ReportServiceGetFullName)
	}
}
