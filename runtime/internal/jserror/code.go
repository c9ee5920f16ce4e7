package jserror

import (
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// Codes of JetStream that nats.go has no name for: limits of accounts and
// servers, and what cannot be beside what else there is.
const (
	AccountResources  jetstream.ErrorCode = 10002
	NoPeers           jetstream.ErrorCode = 10005
	Insufficient      jetstream.ErrorCode = 10023
	MaxConsumers      jetstream.ErrorCode = 10026
	MaxStreams        jetstream.ErrorCode = 10027
	MemoryExceeded    jetstream.ErrorCode = 10028
	StorageExceeded   jetstream.ErrorCode = 10047
	InvalidStream     jetstream.ErrorCode = 10052
	SubjectsOverlap   jetstream.ErrorCode = 10065
	NotClustered      jetstream.ErrorCode = 10074
	StreamSealed      jetstream.ErrorCode = 10109
	MaxBytesRequired  jetstream.ErrorCode = 10113
	NoTier            jetstream.ErrorCode = 10120
	MaxAckPending     jetstream.ErrorCode = 10121
	StreamBytes       jetstream.ErrorCode = 10122
	InactiveThreshold jetstream.ErrorCode = 10153
	SchedulesAreOff   jetstream.ErrorCode = 10188
)

// Code returns the error code of JetStream, 0 for other errors.
func Code(err error) jetstream.ErrorCode {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.ErrorCode
	}
	if known, ok := errors.AsType[jetstream.JetStreamError](err); ok && known.APIError() != nil {
		return known.APIError().ErrorCode
	}
	return 0
}
