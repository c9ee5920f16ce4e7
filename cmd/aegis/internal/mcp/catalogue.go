package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// longestName is how long the name of a tool may be: some models take no longer ones.
const longestName = 64

// catalogue keeps the tools of a server those of the services that run. Its methods are
// called by one goroutine at a time.
type catalogue struct {
	app      *cli.App
	conn     *aegis.Conn
	resolver *aegisreflect.Resolver
	server   *mcp.Server
	o        *options

	// offered has, by service, the hash of the descriptors and the names of the tools.
	offered map[string]offer
}

type offer struct {
	hash  string
	tools []string
}

func newCatalogue(app *cli.App, conn *aegis.Conn, server *mcp.Server, o *options) *catalogue {
	return &catalogue{app: app, conn: conn, resolver: aegisreflect.New(conn), server: server, o: o, offered: make(map[string]offer)}
}

// fill offers the services that run now. Services that were named have to be known.
func (c *catalogue) fill(ctx context.Context) error {
	names := c.o.services
	if len(names) == 0 {
		var err error
		if names, err = c.conn.Services(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := c.offer(ctx, name); err != nil {
			if len(c.o.services) > 0 {
				return err
			}
			c.app.Notef("aegis: %s is not offered: %v", name, err)
		}
	}
	return nil
}

// follow offers services that begin to run, and those whose descriptors change, until ctx
// ends.
func (c *catalogue) follow(ctx context.Context) error {
	for change, err := range c.conn.WatchInstances(ctx, aegis.AllServices) {
		if err != nil {
			return err
		}
		name := change.Instance.Service
		if len(c.o.services) > 0 && !slices.Contains(c.o.services, name) {
			continue
		}
		switch change.Kind {
		case aegis.InstanceJoined, aegis.InstanceStateChanged:
			if change.Instance.State == aegis.StateRunning {
				_ = c.offer(ctx, name) // fill and the log have said what there is to say
			}
		case aegis.InstanceLeft, aegis.InstanceExpired:
			c.withdrawIdle(ctx, name)
		default:
		}
	}
	return nil
}

// offer makes tools of the methods of a service, unless that was done for these descriptors.
func (c *catalogue) offer(ctx context.Context, name string) error {
	service, err := c.resolver.Service(ctx, name)
	if err != nil {
		return err
	}
	before := c.offered[name]
	if before.hash == service.Hash() {
		return nil
	}
	now := offer{hash: service.Hash()}
	for _, m := range service.Methods() {
		if !c.o.allowWrites && !readOnly(m) {
			continue
		}
		tool := toolOf(m)
		c.server.AddTool(tool, (&handler{method: m, maxMessages: c.o.maxMessages}).handle)
		now.tools = append(now.tools, tool.Name)
	}
	c.server.RemoveTools(slices.DeleteFunc(before.tools, func(name string) bool { return slices.Contains(now.tools, name) })...)
	c.offered[name] = now
	return nil
}

// withdrawIdle takes the tools of a service away of which no instance runs any more.
func (c *catalogue) withdrawIdle(ctx context.Context, name string) {
	instances, err := c.conn.Instances(ctx, name)
	if err != nil || len(instances) > 0 {
		return
	}
	c.server.RemoveTools(c.offered[name].tools...)
	delete(c.offered, name)
}

func toolOf(m *aegisreflect.Method) *mcp.Tool {
	no := false
	tool := &mcp.Tool{
		Name: toolName(m), Title: m.Service().Name() + "/" + m.Name(), Description: describe(m), InputSchema: inputSchema(m),
		Annotations: &mcp.ToolAnnotations{Title: m.Name(), ReadOnlyHint: readOnly(m), IdempotentHint: idempotent(m), OpenWorldHint: &no},
	}
	if readOnly(m) {
		tool.Annotations.DestructiveHint = &no
	}
	return tool
}

// toolName returns a name of letters, digits and dashes. One that is too long ends in a hash,
// so that it stays the only one.
func toolName(m *aegisreflect.Method) string {
	name := strings.ReplaceAll(m.FullName(), ".", "-")
	if len(name) <= longestName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[len(name)-longestName+9:] + "-" + hex.EncodeToString(sum[:4])
}

func describe(m *aegisreflect.Method) string {
	parts := []string{aegisreflect.Comment(m.Descriptor())}
	switch m.Pattern() {
	case aegisreflect.PatternBroadcast:
		parts = append(parts, "All instances answer.")
	case aegisreflect.PatternCommand:
		parts = append(parts, "A stored command: the tool answers with its result when it has ended.")
	case aegisreflect.PatternEvent:
		parts = append(parts, "An event: the tool publishes it.")
	default:
	}
	if about := aegisreflect.Comment(m.Service().Descriptor()); about != "" {
		parts = append(parts, "The service: "+about)
	}
	return strings.TrimSpace(strings.Join(parts, "\n\n"))
}

func readOnly(m *aegisreflect.Method) bool {
	return idempotency(m) == descriptorpb.MethodOptions_NO_SIDE_EFFECTS && m.Pattern() != aegisreflect.PatternEvent &&
		m.Pattern() != aegisreflect.PatternCommand
}

func idempotent(m *aegisreflect.Method) bool {
	return idempotency(m) != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
}

func idempotency(m *aegisreflect.Method) descriptorpb.MethodOptions_IdempotencyLevel {
	o, ok := m.Descriptor().Options().(*descriptorpb.MethodOptions)
	if !ok {
		return descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	}
	return o.GetIdempotencyLevel()
}
