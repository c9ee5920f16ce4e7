package aegis

import "github.com/aegisrpc/aegis/runtime/internal/stores"

// BucketConfig says how a KV bucket is kept.
type BucketConfig struct {
	// Replicas is on how many NATS servers: 1, 3 or 5. A bucket that exists gets as
	// many, unless NoCreate; while NATS copies it, some seconds, nothing is written
	// to it, and leaders may have to stop. It is never given fewer. Default: as many
	// as it has, 1 for one that has to be made.
	Replicas int
	// MaxBytes is the size of a bucket that has to be made; what would exceed it is
	// refused. Default: no limit but the account's; where that requires one
	// (max_bytes_required), 16 MiB for leaders and 64 MiB for the registry, which is
	// more than ten thousand groups, or instances, take.
	MaxBytes int64
	// NoCreate: the bucket must exist, and is left as it is. For accounts whose
	// users may not make any.
	NoCreate bool
}

func (c *BucketConfig) check(what string) error {
	switch {
	case c.Replicas < 0 || c.Replicas > 5 || c.Replicas != 0 && c.Replicas%2 == 0:
		return invalidOption("%s bucket on %d servers: use 1, 3 or 5", what, c.Replicas)
	case c.MaxBytes < 0:
		return invalidOption("%s bucket of %d bytes: must not be negative", what, c.MaxBytes)
	}
	return nil
}

func (c *BucketConfig) wanted() stores.Bucket {
	return stores.Bucket{Replicas: c.Replicas, MaxBytes: c.MaxBytes, NoCreate: c.NoCreate}
}

// WithLeaderBucket says how the KV bucket of the leader records is kept. Where it
// may not be made (NoCreate), the server stands for election once it is there.
func WithLeaderBucket(config BucketConfig) ServerOption {
	return serverOption(func(c *serverConfig) error {
		c.leaderBucket = config
		return config.check("leader")
	})
}

// WithRegistryBucket says how the KV bucket of the registry is kept. Where it may
// not be made (NoCreate), the instance is known by its heartbeats alone until it
// is there.
func WithRegistryBucket(config BucketConfig) ServerOption {
	return serverOption(func(c *serverConfig) error {
		c.registryBucket = config
		return config.check("registry")
	})
}
