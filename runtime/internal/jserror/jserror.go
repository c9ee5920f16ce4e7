// Package jserror tells the errors of JetStream apart, for all that write there
// by compare-and-set.
package jserror

import (
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// WrongLastSequence reports whether a compare-and-set was refused. Streams on
// one server and on several have an error code each for that.
func WrongLastSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// codeDuplicateInProcess is what a second copy of a message gets whose first one
// is not stored yet, and may never be.
const codeDuplicateInProcess jetstream.ErrorCode = 10158

// InProcess reports whether a message was refused because another one with its
// id is on its way into the stream.
func InProcess(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeDuplicateInProcess
}

// NotEnabled reports whether JetStream is off, on the NATS servers or for the
// account.
func NotEnabled(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}
