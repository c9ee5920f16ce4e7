package golden_test

import (
	"testing"

	commandsv1 "github.com/aegisrpc/aegis/internal/codegen/golden/commands"
	"github.com/aegisrpc/aegis/internal/codegen/golden/commands/commandsv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// A command is found again by its id.
func TestGeneratedCommandIsFoundAgain(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	client, err := commandsv1aegis.NewReportServiceClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := client.Make(t.Context(), &commandsv1.MakeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	status, err := commandsv1aegis.ReportServiceMakeCommand(conn, sent.ID()).Status(t.Context())
	if err != nil || status.State != aegis.CommandQueued {
		t.Errorf("%v, %v", status, err)
	}
}
