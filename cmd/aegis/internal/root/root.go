// Package root puts the subcommands of aegis together.
package root

import (
	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/call"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/chaos"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/commands"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/complete"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/deadletters"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/demonstration"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/describe"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/dev"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/doctor"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/generate"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/instances"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/leaders"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/lintoptions"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/mcp"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/monitor"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/scaffold"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/streams"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/top"
	"github.com/aegisrpc/aegis/internal/codegen"
)

// The groups in which the help lists the subcommands.
const (
	groupBuild = "build"
	groupLook  = "look"
	groupCall  = "call"
	groupCare  = "care"
)

// Command returns the command aegis with all of its subcommands.
func Command(app *cli.App) *cobra.Command {
	c := app.Root()
	c.Version = codegen.Version
	c.AddGroup(
		&cobra.Group{ID: groupBuild, Title: "Write and run services:"},
		&cobra.Group{ID: groupLook, Title: "See the running system:"},
		&cobra.Group{ID: groupCall, Title: "Call, publish and load:"},
		&cobra.Group{ID: groupCare, Title: "Look after stored work and leaders:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, sub := range commands {
			sub.GroupID = group
			c.AddCommand(sub)
		}
	}
	add(groupBuild, scaffold.Command(app), dev.Command(app), generate.Command(app), lintoptions.Command(app), demonstration.Command(app))
	add(groupLook, instances.List(app), instances.Tree(app), instances.Watch(app), instances.Health(app), instances.Ping(app),
		describe.Command(app), monitor.Command(app), top.Command(app))
	add(groupCall, call.Command(app), call.Send(app), call.Result(app), call.Progress(app), call.Cancel(app),
		call.Publish(app), call.Subscribe(app), bench.Command(app), chaos.Command(app), mcp.Command(app, codegen.Version))
	add(groupCare, commands.Command(app), deadletters.Command(app), streams.Command(app), leaders.Command(app), doctor.Command(app))
	complete.Add(app, c)
	return c
}
