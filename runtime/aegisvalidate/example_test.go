package aegisvalidate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"

	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisvalidate"
)

// A client sends no request that breaks the rules of its proto:
//
//	string text = 1 [(buf.validate.field).string.min_len = 3];
func Example() {
	validation, err := aegisvalidate.New()
	if err != nil {
		panic(err)
	}
	nats, err := embednats.Start(embednats.Options{}) // in place of a NATS server
	if err != nil {
		panic(err)
	}
	defer nats.Stop()
	ctx := context.Background()
	conn, err := aegis.Connect(ctx, nats.ClientURL(), aegis.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	defer conn.Close(ctx)
	// With generated code: notesv1aegis.NewNoteServiceClient(conn, aegis.WithInterceptors(validation))
	client, err := aegis.NewClient(conn, file().Services().ByName("NoteService"), aegis.WithInterceptors(validation))
	if err != nil {
		panic(err)
	}
	_, err = aegis.NewUnaryMethod[note, note](client, "Put").Call(ctx, newNote("no"))
	var violations validatepb.Violations
	if e, ok := errors.AsType[*aegis.Error](err); ok && e.Details()[0].UnmarshalTo(&violations) == nil {
		fmt.Println(e.Code(), violations.GetViolations()[0].GetRuleId(), violations.GetViolations()[0].GetMessage())
	}
	// Output:
	// INVALID_ARGUMENT string.min_len must be at least 3 characters
}
