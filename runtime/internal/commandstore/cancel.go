package commandstore

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// cancelTTL keeps a cancel until its command is worked, however long the command
// waits. When the command has ended, the cancel is taken back.
const cancelTTL = 365 * 24 * time.Hour

// Canceled is why a command that was canceled has no response.
var Canceled = status.New(status.Canceled, "the command was canceled")

// PutCancel stores that a command is to stop, and tells its workers. It stops only the
// command with this wire.HeaderSend, and no later command with the same id. It returns
// the sequence of the cancel.
func (r *Results) PutCancel(ctx context.Context, id, send string, deadline time.Time) (uint64, *status.Status) {
	ack, why := r.put(ctx, id, wire.ResultStop, nats.Header{wire.HeaderTTL: {cancelTTL.String()}}, []byte(send), deadline)
	if why != nil {
		return 0, why
	}
	r.tellCancel(id, ack.Sequence, send)
	return ack.Sequence, nil
}

// TakeBackCancel puts something short-lived in the place of a cancel, if that is still
// the last one. If it fails, the cancel stays, and concerns nobody: its command has
// ended.
func (r *Results) TakeBackCancel(ctx context.Context, id string, sequence uint64) {
	header := nats.Header{wire.HeaderTTL: {time.Second.String()}, wire.HeaderExpectedLast: {strconv.FormatUint(sequence, 10)}}
	ack, why := r.put(ctx, id, wire.ResultStop, header, []byte(wire.StopOver), time.Now().Add(stores.DefaultTimeout))
	if why == nil {
		r.tellCancel(id, ack.Sequence, wire.StopOver)
	}
}

// tellCancel tells the workers of a cancel, or that it is taken back.
func (r *Results) tellCancel(id string, sequence uint64, body string) {
	r.tell(id, wire.ResultStop, nats.Header{wire.HeaderSequence: {strconv.FormatUint(sequence, 10)}}, []byte(body))
}
