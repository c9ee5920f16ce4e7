package aegis

import (
	"cmp"

	"github.com/aegisrpc/aegis/runtime/internal/bucket"
)

// BucketConfig says how a KV bucket is kept.
type BucketConfig struct {
	// Replicas is the number of NATS servers that keep the bucket: 1, 3 or 5. A bucket
	// that exists gets as many, unless NoCreate is set, and is never given fewer. While
	// NATS copies it, for some seconds, nothing is written to it, and leaders may have
	// to stop. Default: that of WithReplicas, then as many as the bucket has, 1 for a
	// bucket that has to be made.
	Replicas int
	// MaxBytes is the size of a bucket that has to be made. NATS refuses records that
	// would exceed it. Default: no limit but the account's; where the account requires a
	// limit (max_bytes_required), 16 MiB for leaders and 64 MiB for the registry, which
	// is more than ten thousand groups, or instances, take.
	MaxBytes int64
	// NoCreate leaves the bucket as it is. The bucket must exist. It is for accounts
	// whose users may not make any. Default: the server makes the bucket if there is none.
	NoCreate bool
}

func (c *BucketConfig) check(what string) error {
	switch {
	case !replicated(c.Replicas):
		return invalidOption("%s bucket on %d servers: use 1, 3 or 5", what, c.Replicas)
	case c.MaxBytes < 0:
		return invalidOption("%s bucket of %d bytes: must not be negative", what, c.MaxBytes)
	}
	return nil
}

func (s *Server) bucket(c *BucketConfig) bucket.Settings {
	return bucket.Settings{Replicas: cmp.Or(c.Replicas, s.conn.replicas), MaxBytes: c.MaxBytes, NoCreate: c.NoCreate}
}

// WithLeaderBucket says how the KV bucket of the leader records is kept. With NoCreate,
// the server stands for election once the bucket is there.
func WithLeaderBucket(config BucketConfig) ServerOption {
	return serverOption(func(c *serverConfig) error {
		c.leaderBucket = config
		return config.check("leader")
	})
}

// WithRegistryBucket says how the KV bucket of the registry is kept. With NoCreate, the
// instance is known by its heartbeats alone until the bucket is there.
func WithRegistryBucket(config BucketConfig) ServerOption {
	return serverOption(func(c *serverConfig) error {
		c.registryBucket = config
		return config.check("registry")
	})
}
