package stores

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// explain says in an error which stream or consumer it is about, and adds what a person
// can do.
func (s *Stores) explain(what string, err error) error {
	switch {
	case jserror.NotEnabled(err):
		return fmt.Errorf("%s: %w: %s: %w", what, ErrUnavailable, s.Advice(), err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: it did not answer in time, or this user may not use all of its API: %w", what, ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, Advise(err))
}

// ErrDisconnected is wrapped if nothing was sent, as the connection is down.
var ErrDisconnected = fmt.Errorf("%w: not connected to NATS", ErrUnavailable)

// Advise adds to an error what a person can do about the limit behind it. Nats.go reports
// a connection that is down as an exceeded buffer, which becomes ErrDisconnected.
func Advise(err error) error {
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return ErrDisconnected
	}
	if advice := limitAdvice(jserror.Code(err)); advice != "" {
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}

// limitAdvice returns what a person can do about a limit that was reached; "" for an error
// that is about no limit.
func limitAdvice(code jetstream.ErrorCode) string {
	switch code {
	case jserror.MaxStreams:
		return "raise max_streams of the account, or remove streams that nobody needs"
	case jserror.MaxConsumers:
		return "raise max_consumers of the account or of the stream, or remove consumers that nobody needs"
	case jserror.StorageExceeded, jserror.AccountResources:
		return "raise the storage of the account (max_file) or of the NATS servers (max_file_store), or give streams smaller sizes"
	case jserror.MemoryExceeded:
		return "raise the memory of the account (max_mem) or of the NATS servers (max_memory_store)"
	case jserror.NotClustered, jserror.NoPeers, jserror.Insufficient:
		return "ask for fewer replicas, or see that so many NATS servers with JetStream are up and have room"
	case jserror.NoTier:
		return "the account has no JetStream for this number of replicas; ask for another one, or give the account that tier"
	default:
		return ""
	}
}

// refused adds to the error of a stream that could not be made what a person can do, and
// ErrConfig if trying again does not help.
func (s *Stores) refused(ctx context.Context, want *Want, err error) error {
	switch jserror.Code(err) {
	case jserror.MaxBytesRequired:
		return fmt.Errorf("%w: %w; %s", ErrConfig, err, sizeAdvice(want))
	case jserror.StreamBytes:
		return fmt.Errorf("%w: %w: %d bytes are asked for; ask for fewer (%s), or raise max_stream_bytes of the account",
			ErrConfig, err, want.MaxBytes, sizeAdvice(want))
	case jserror.NoTier:
		return fmt.Errorf("%w: %w", ErrConfig, err)
	case jserror.SubjectsOverlap:
		return fmt.Errorf("%w: %w: %s", ErrConfig, err, s.overlap(ctx, want))
	case jserror.InvalidStream:
		if strings.Contains(err.Error(), "duplicates window") {
			return fmt.Errorf("%w: %w; ask for a shorter one: dedupe_window in the proto, or DedupeWindow of aegis.WithStorage", ErrConfig, err)
		}
	default:
	}
	return err
}

// sizeAdvice says how the stream gets a size.
func sizeAdvice(want *Want) string {
	if want.SizeOption == "" {
		return "make the stream with max_bytes and discard new"
	}
	return want.SizeOption
}

// overlapTimeout bounds the search for the stream that is in the way. This user may not
// be allowed to search, which NATS then does not answer.
const overlapTimeout = time.Second

// overlap names the streams that have subjects of the wanted one, and what to do.
func (s *Stores) overlap(ctx context.Context, want *Want) string {
	ctx, cancel := context.WithTimeout(ctx, overlapTimeout)
	defer cancel()
	ctx, why := s.Allowed(ctx, "STREAM.LIST")
	defer func() { _ = why(nil) }()
	var found []string
	for _, subject := range want.Subjects {
		list := s.js.ListStreams(ctx, jetstream.WithStreamListSubject(subject))
		for info := range list.Info() {
			subjects := slices.DeleteFunc(slices.Clone(info.Config.Subjects), func(other string) bool { return !overlaps(other, subject) })
			text := fmt.Sprintf("%s (%s)", info.Config.Name, strings.Join(subjects, " "))
			if info.Config.Name != want.Name && !slices.Contains(found, text) {
				found = append(found, text)
			}
		}
	}
	subjects := strings.Join(want.Subjects, " ")
	if len(found) == 0 {
		return fmt.Sprintf("nats stream find --subject %q shows it; take the subjects %s out of it, or use another namespace (aegis.WithNamespace)",
			want.Subjects[0], subjects)
	}
	return fmt.Sprintf("its subjects overlap with those of the stream %s; take %s out of that stream, have it mirror or source this one instead, "+
		"or use another namespace (aegis.WithNamespace)", strings.Join(found, " and "), subjects)
}

// overlaps reports whether there is a subject that matches both filters.
func overlaps(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range x {
		switch {
		case i >= len(y):
			return false
		case x[i] == ">" || y[i] == ">":
			return true
		case x[i] != "*" && y[i] != "*" && x[i] != y[i]:
			return false
		}
	}
	return len(x) == len(y)
}
