package collect

import (
	"context"
	"strings"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

const (
	// describeEvery is how often it is looked for services without a description, and
	// describePause the pause between two services.
	describeEvery = time.Second
	describePause = 100 * time.Millisecond
	// describeTimeout bounds the reading of one, and describeAgain is the pause after which
	// one is tried again that could not be read.
	describeTimeout = 5 * time.Second
	describeAgain   = 5 * time.Minute
	// maxDescribed bounds the services that have a description, and maxText that.
	maxDescribed = 1000
	maxText      = 4 << 10
)

// described is the description of a service that was told, or tried.
type described struct {
	hash  string // of its descriptors
	again time.Time
}

// readDescriptions tells the board what the protos of services say, once for each version.
// That this fails is no problem: all else is as useful without it.
func (c *Collector) readDescriptions(ctx context.Context) {
	resolver := aegisreflect.New(c.conn)
	told := make(map[string]described)
	for sleep(ctx, describeEvery, nil) {
		list, _ := c.roster.all()
		for service, hash := range newest(list) {
			last, known := told[service]
			if known && last.hash == hash && (last.again.IsZero() || time.Now().Before(last.again)) ||
				!known && len(told) >= maxDescribed || !c.in.Bus.Link.Up() {
				continue
			}
			told[service] = described{hash, c.describe(ctx, resolver, service, hash)}
			if !sleep(ctx, describePause, nil) {
				return
			}
		}
	}
}

// newest returns for each service the hash of the descriptors of the instance that has
// started last.
func newest(list []aegis.Instance) map[string]string {
	hashes, started := make(map[string]string), make(map[string]time.Time)
	for i := range list {
		one := &list[i]
		if at, known := started[one.Service]; one.Descriptors != "" && (!known || one.Started.After(at)) {
			hashes[one.Service], started[one.Service] = one.Descriptors, one.Started
		}
	}
	return hashes
}

// describe tells the board what the proto of a service says. It returns when to try again;
// zero for never.
func (c *Collector) describe(ctx context.Context, resolver *aegisreflect.Resolver, service, hash string) (again time.Time) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	found, err := resolver.ServiceByHash(ctx, service, hash)
	if err != nil {
		return time.Now().Add(describeAgain)
	}
	d := &board.Description{Text: plain(aegisreflect.Comment(found.Descriptor()))}
	for _, m := range found.Methods() {
		d.Methods = append(d.Methods, board.MethodDescription{
			Name: m.Name(), Pattern: m.Pattern().String(), Group: m.Group(), Text: plain(aegisreflect.Comment(m.Descriptor())),
		})
	}
	c.board.Described(service, d)
	return time.Time{}
}

// plain is a comment as one line: where it was broken says nothing.
func plain(comment string) string {
	return shortened(strings.Join(strings.Fields(comment), " "), maxText)
}
