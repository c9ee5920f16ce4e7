// Package generate has the subcommand generate: it compiles the .proto files of a workspace
// and runs the plugins of a buf.gen.yaml in the process, with the result of `buf generate`.
package generate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/pluginpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/managed"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/protoset"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/workspace"
)

// Options say what to generate. Their paths are relative to the working directory.
type Options struct {
	Template     string   // a file, or the text of one; "" is buf.gen.yaml
	Input        string   // a directory; "" is those of the template, else the working directory
	Config       string   // a buf.yaml in place of the workspace's own; "" for none
	Base         string   // put before the out of each plugin; "" is the working directory
	Paths        []string // only files in these; none: those that the template says, else all
	ExcludePaths []string // no files in these; none: those that the template says

	// These replace what the template says, if they are not nil.
	Clean, IncludeImports, IncludeWKT *bool
}

// Summary is what a run has done.
type Summary struct {
	Written   int      `json:"written"`
	Unchanged int      `json:"unchanged"`
	Deleted   int      `json:"deleted"` // by clean
	Notes     []string `json:"notes,omitempty"`
}

// Run generates code. say is told what goes on. Nothing is written before all plugins have
// succeeded; files that are as they should be are not touched. Errors are a
// *bufconfig.ProblemsError of the template or workspace, a *protoset.MistakesError of the
// .proto files, a *PluginError, or one of reading and writing.
func Run(ctx context.Context, o Options, say func(format string, args ...any)) (*Summary, error) {
	g, err := readTemplate(o.Template)
	if err != nil {
		return nil, err
	}
	o.override(g)
	s := &Summary{Notes: pinNotes(g.Plugins, ownVersions())}
	if m := g.Managed; !m.Enabled && len(m.Disable)+len(m.Override) > 0 {
		s.Notes = append(s.Notes, "managed has rules that do nothing, as it is not enabled; write enabled: true")
	}
	var sets []*protoset.Set
	for _, in := range g.Inputs {
		say("compiling %s", in.Dir)
		set, err := Compile(ctx, in, o.Config, &g.Managed)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	out := newOutput()
	say("generating")
	for _, set := range sets {
		if err := runPlugins(ctx, set, g.Plugins, o.Base, out); err != nil {
			return nil, err
		}
	}
	if g.Clean {
		if err := out.checkClean(); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	say("writing")
	if err := out.write(s); err != nil {
		return s, err
	}
	if g.Clean {
		return s, out.clean(s)
	}
	return s, nil
}

func readTemplate(template string) (*bufconfig.Generation, error) {
	switch ext := filepath.Ext(template); {
	case template == "":
		template = bufconfig.Template
	case ext != ".yaml" && ext != ".yml" && ext != ".json":
		return bufconfig.ReadTemplate("--template", []byte(template))
	}
	data, err := os.ReadFile(template) //nolint:gosec // the user names it
	if errors.Is(err, os.ErrNotExist) && template == bufconfig.Template {
		return nil, fmt.Errorf("there is no %s here; `aegis init` makes a project with one, --template names another", template)
	}
	if err != nil {
		return nil, fmt.Errorf("--template: %w", err)
	}
	return bufconfig.ReadTemplate(template, data)
}

// override puts what the options say in place of what the template says.
func (o Options) override(g *bufconfig.Generation) {
	if o.Input != "" {
		g.Inputs = []bufconfig.Input{{Dir: o.Input}}
	}
	if len(g.Inputs) == 0 {
		g.Inputs = []bufconfig.Input{{Dir: "."}}
	}
	for i := range g.Inputs {
		if len(o.Paths) > 0 {
			g.Inputs[i].Paths = o.Paths
		}
		if len(o.ExcludePaths) > 0 {
			g.Inputs[i].ExcludePaths = o.ExcludePaths
		}
	}
	if o.Clean != nil {
		g.Clean = *o.Clean
	}
	for i := range g.Plugins {
		if o.IncludeImports != nil {
			g.Plugins[i].IncludeImports = *o.IncludeImports
		}
		if o.IncludeWKT != nil {
			g.Plugins[i].IncludeWKT = *o.IncludeWKT
		}
	}
}

// Compile compiles the files of an input, and changes their options as the rules of managed
// mode say; nil for none. config is as in Options.
func Compile(ctx context.Context, in bufconfig.Input, config string, rules *bufconfig.Managed) (*protoset.Set, error) {
	w, err := workspace.Open(in.Dir, config)
	if err != nil {
		return nil, err
	}
	files, err := w.Select(in.Paths, in.ExcludePaths)
	if err != nil {
		return nil, err
	}
	set, err := protoset.Compile(ctx, w, files)
	if err != nil || rules == nil {
		return set, err
	}
	for _, f := range set.Files {
		if !f.BuiltIn {
			managed.Apply(rules, f.FileDescriptorProto, w.ModuleName(f.GetName()))
		}
	}
	return set, nil
}

// PluginError is the error of a plugin that refuses the files.
type PluginError struct {
	Plugin string
	Err    error // a line for each mistake
}

// Error returns the mistakes behind the name of the plugin.
func (e *PluginError) Error() string {
	text := strings.ReplaceAll(strings.TrimSpace(e.Err.Error()), "\t", "    ")
	return fmt.Sprintf("%s refuses the files, nothing is written:\n%s", e.Plugin, text)
}

// Unwrap returns the error of the plugin.
func (e *PluginError) Unwrap() error { return e.Err }

// job is one run of one plugin.
type job struct {
	run  int
	req  *pluginpb.CodeGeneratorRequest
	resp *pluginpb.CodeGeneratorResponse
	err  error
}

// runPlugins runs all plugins for a set, several at once, and adds what they generate to
// out. The error has those of all plugins.
func runPlugins(ctx context.Context, set *protoset.Set, configured []bufconfig.Plugin, base string, out *output) error {
	var jobs []*job
	for i := range configured {
		reqs, err := requests(set, &configured[i])
		if err != nil {
			return err
		}
		for _, req := range reqs {
			jobs = append(jobs, &job{run: i, req: req})
		}
	}
	work := make(chan *job)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(jobs)) {
		workers.Go(func() {
			for j := range work {
				if j.err = ctx.Err(); j.err == nil {
					j.resp, j.err = plugins[configured[j.run].Known].run(j.req)
				}
			}
		})
	}
	for _, j := range jobs {
		work <- j
	}
	close(work)
	workers.Wait()
	if err := errorsOf(ctx, jobs, configured); err != nil {
		return err
	}
	for _, j := range jobs {
		p := configured[j.run]
		if err := out.add(j.run, string(p.Known), filepath.Join(base, p.Out), j.resp); err != nil {
			return err
		}
	}
	return nil
}

// errorsOf joins the errors of all jobs, those of one plugin together.
func errorsOf(ctx context.Context, jobs []*job, configured []bufconfig.Plugin) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var all []error
	for i := range configured {
		var own []error
		for _, j := range jobs {
			if j.run == i && j.err != nil {
				own = append(own, j.err)
			}
		}
		if len(own) > 0 {
			all = append(all, &PluginError{Plugin: string(configured[i].Known), Err: errors.Join(own...)})
		}
	}
	return errors.Join(all...)
}
