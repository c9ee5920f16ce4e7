package doctor

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

// registryAge is max_age of the registry's bucket as the runtime makes it.
const registryAge = 5 * time.Minute

func checkBuckets() Check {
	return Check{
		Name: "buckets", Looks: "the KV buckets of leaders and of the registry: whether they can be used, and how they differ from those that servers make",
		Reads: "`$JS.API.STREAM.INFO.KV_ns-leaders`, `$JS.API.STREAM.INFO.KV_ns-registry`",
		IDs:   words("ready missing unusable differs full unread"),
		run: func(ctx context.Context, l *look) []Finding {
			var found []Finding
			for _, b := range []struct {
				name  string
				find  func(context.Context) (*stream, error)
				judge func(*jetstream.StreamInfo) []Finding
			}{
				{wire.LeaderBucket(l.namespace), l.leadersAt, judgeLeaderBucket},
				{wire.RegistryBucket(l.namespace), l.registry, judgeRegistryBucket},
			} {
				s, err := b.find(ctx)
				switch {
				case isCode(err, codeStreamNotFound):
					found = append(found, info("buckets.missing", b.name, "there is no bucket %s yet: the first server that needs it makes it", b.name))
				case err != nil:
					found = append(found, unread("buckets.unread", b.name, "the bucket "+b.name, err))
				default:
					found = append(found, b.judge(&s.StreamInfo)...)
				}
			}
			return found
		},
	}
}

// judgeLeaderBucket judges the bucket of leaders as candidates do, which refuse a bucket
// in which two could win, and besides.
func judgeLeaderBucket(info *jetstream.StreamInfo) []Finding {
	c := &info.Config
	unusable := func(text, remedy string) Finding {
		return failure("buckets.unusable", c.Name, "%s; no candidate stands for election with it", text).so("%s", remedy)
	}
	var found []Finding
	if c.AllowDirect {
		found = append(found, unusable("direct get is on, which may answer from a replica that is behind", "nats stream edit "+c.Name+" --no-allow-direct"))
	}
	if c.Mirror != nil || len(c.Sources) > 0 {
		found = append(found, unusable("it is a mirror or has sources", "remove the stream "+c.Name+" once its services have stopped, or use another namespace"))
	}
	if prefix := "$KV." + c.Name[len("KV_"):] + ".>"; len(c.Subjects) != 1 || c.Subjects[0] != prefix {
		found = append(found, unusable("it captures other subjects than "+prefix, "nats stream edit "+c.Name+" --subjects '"+prefix+"'"))
	}
	if c.MaxAge != 0 {
		found = append(found, unusable("it drops records by age", "nats stream edit "+c.Name+" --max-age=0"))
	}
	if c.Discard != jetstream.DiscardNew && (c.MaxMsgs > 0 || c.MaxBytes > 0) {
		found = append(found, unusable("it drops records by number or size", "nats stream edit "+c.Name+" --discard=new"))
	}
	return bucketDone(info, append(found, judgeHistory(c)...))
}

// judgeRegistryBucket judges the bucket of the registry.
func judgeRegistryBucket(info *jetstream.StreamInfo) []Finding {
	c := &info.Config
	var found []Finding
	if prefix := "$KV." + c.Name[len("KV_"):] + ".>"; c.Mirror != nil || len(c.Sources) > 0 || len(c.Subjects) != 1 || c.Subjects[0] != prefix {
		found = append(found, failure("buckets.unusable", c.Name, "it is no KV bucket of its own (subjects %v); servers do not register there", c.Subjects).
			so("use another namespace, or remove the stream with nats stream rm %s", c.Name))
	}
	if c.MaxAge != registryAge {
		found = append(found, warning("buckets.differs", c.Name,
			"its records live for %v and not for %v: those of crashed instances stay, or those of running ones go", c.MaxAge, registryAge).
			so("nats stream edit %s --max-age=5m", c.Name))
	}
	return bucketDone(info, append(found, judgeHistory(c)...))
}

func judgeHistory(c *jetstream.StreamConfig) []Finding {
	if c.MaxMsgsPerSubject == 1 {
		return nil
	}
	return []Finding{info("buckets.differs", c.Name+" history",
		"it keeps a history of %d values of each key, of which Aegis uses the last one", c.MaxMsgsPerSubject).
		so("nats stream edit %s --max-msgs-per-subject=1", c.Name)}
}

// bucketDone completes the findings about a bucket.
func bucketDone(info *jetstream.StreamInfo, found []Finding) []Finding {
	c := &info.Config
	if most := c.MaxBytes; most > 0 && info.State.Bytes*100 >= uint64(most)*nearlyFull {
		found = append(found, warning("buckets.full", c.Name, "%s of its %s are used; NATS refuses what exceeds that", size(info.State.Bytes), size(most)).
			so("nats stream edit %s --max-bytes=...", c.Name))
	}
	if len(found) > 0 {
		return found
	}
	return []Finding{ok("buckets.ready", c.Name, "%s, %s", count(info.State.Msgs, "record", "records"), count(uint64(max(c.Replicas, 1)), "replica", "replicas"))}
}
