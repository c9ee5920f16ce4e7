package stores

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/natsversion"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// ask sends a request to an operation of the API, such as "STREAM.INFO.E", and reads the
// answer. An error of JetStream is a *jetstream.APIError.
func (s *Stores) ask(ctx context.Context, operation string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, why := s.Allowed(ctx, operation)
	msg, err := s.nc.RequestWithContext(ctx, s.prefix+"."+operation, body)
	switch err = why(err); {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %s", ErrUnavailable, s.Advice())
	case err != nil:
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &failed); err != nil {
		return fmt.Errorf("what answered at %s is not JetStream: %w", operation, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(msg.Data, answer)
}

// countTimeout bounds the count of subjects: NATS makes a sorted list of all that match, which
// takes some seconds for a million.
const countTimeout = time.Minute

// Subjects returns how many subjects of a stream match a filter and have messages, without
// their names: NATS counts them. It is 0 for a stream that does not exist.
func (s *Stores) Subjects(ctx context.Context, stream, filter string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	var info struct {
		Total int `json:"total"`
	}
	// NATS names the subjects from an offset on: after the last one there are none.
	request := struct {
		Filter string `json:"subjects_filter"`
		Offset int    `json:"offset"`
	}{filter, math.MaxInt32}
	err := s.ask(ctx, "STREAM.INFO."+stream, request, &info)
	if jserror.Code(err) == jetstream.JSErrCodeStreamNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, s.explain("the stream "+stream, err)
	}
	return info.Total, nil
}

// consumerPause is the oldest nats-server that pauses consumers.
var consumerPause = natsversion.Version{2, 11, 0}

// Pause has a consumer deliver nothing until a time, or deliver again if that is past. The
// error wraps ErrOld if the NATS server cannot do that.
func (s *Stores) Pause(ctx context.Context, stream, consumer string, until time.Time) error {
	if found, ok := natsversion.Parse(s.nc.ConnectedServerVersion()); ok && found.Before(consumerPause) {
		return fmt.Errorf("the consumer %s of the stream %s cannot be paused: %w: "+
			"that needs nats-server %s or later on every server with JetStream, and this one is %s",
			consumer, stream, ErrOld, consumerPause, s.nc.ConnectedServerVersion())
	}
	request := struct {
		Until time.Time `json:"pause_until,omitzero"`
	}{until.UTC()}
	if until.IsZero() {
		request.Until = time.Time{}
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	var answer struct{}
	if err := s.ask(ctx, "CONSUMER.PAUSE."+stream+"."+consumer, request, &answer); err != nil {
		return s.explain("the consumer "+consumer+" of the stream "+stream+" cannot be paused or resumed", err)
	}
	return nil
}

// ConsumerInfo returns a consumer as its leader knows it. The error is a *jetstream.APIError
// where JetStream answers that there is none, and wraps ErrUnavailable if nobody answers.
func (s *Stores) ConsumerInfo(ctx context.Context, stream, consumer string) (*jetstream.ConsumerInfo, error) {
	info := new(jetstream.ConsumerInfo)
	if err := s.ask(ctx, "CONSUMER.INFO."+stream+"."+consumer, struct{}{}, info); err != nil {
		return nil, s.explain("the consumer "+consumer+" of the stream "+stream, err)
	}
	return info, nil
}

// Consumers calls each with the consumers of a stream until it returns false. There is none
// in a stream that does not exist.
func (s *Stores) Consumers(ctx context.Context, stream string, each func(*jetstream.ConsumerInfo) bool) error {
	handle, err := s.Find(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking, why := s.Allowed(ctx, "CONSUMER.LIST."+stream)
	lister := handle.ListConsumers(asking)
	for info := range lister.Info() {
		if !each(info) {
			return why(nil)
		}
	}
	if err := why(lister.Err()); err != nil {
		return s.explain("the consumers of the stream "+stream, err)
	}
	return nil
}

// List calls each with the streams of the account until it returns false.
func (s *Stores) List(ctx context.Context, each func(*jetstream.StreamInfo) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking, why := s.Allowed(ctx, "STREAM.LIST")
	lister := s.js.ListStreams(asking)
	for info := range lister.Info() {
		if !each(info) {
			return why(nil)
		}
	}
	if err := why(lister.Err()); err != nil {
		return s.explain("the streams of this account", err)
	}
	return nil
}
