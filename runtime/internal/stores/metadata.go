package stores

import (
	"context"
	"fmt"
	"maps"

	"github.com/aegisrpc/aegis/internal/natsversion"
)

// SetMetadata gives the metadata of a stream that exists an entry, and leaves all else of the
// stream as it is. It returns an error that wraps ErrOld where the NATS server keeps no
// metadata.
func (s *Stores) SetMetadata(ctx context.Context, stream, key, value string) error {
	found, ok := natsversion.Parse(s.nc.ConnectedServerVersion())
	if ok && found.Before(streamMetadata) {
		return fmt.Errorf("the stream %s: %w: streams have metadata from nats-server %s on, and this one is %s", stream, ErrOld, streamMetadata, found)
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	end, err := s.turn(ctx, stream)
	if err != nil {
		return err
	}
	defer end()
	// NATS has no compare-and-set of streams: the configuration is read at the last moment,
	// so that a change of another process is not undone.
	have, err := s.info(ctx, stream)
	if err != nil {
		return s.explain("the stream "+stream, err)
	}
	cfg := have.CachedInfo().Config
	if cfg.Metadata[key] == value {
		return nil
	}
	cfg.Metadata = maps.Clone(cfg.Metadata)
	if cfg.Metadata == nil {
		cfg.Metadata = make(map[string]string)
	}
	cfg.Metadata[key] = value
	if _, err := s.update(ctx, cfg); err != nil {
		return s.explain("the stream "+stream+" cannot be changed", err)
	}
	return nil
}
