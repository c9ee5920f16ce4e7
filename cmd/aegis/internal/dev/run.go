package dev

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/devstate"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// closeTimeout bounds the wait for the connection to be closed.
const closeTimeout = 5 * time.Second

// session is one run of dev.
type session struct {
	announcer

	project   *project
	register  *devstate.Register
	servers   []server
	instances map[string][]*instance // by the names of their servers

	// running are the programs that the instances run, by the names of their servers, and
	// embedded the files that are in them.
	running  map[string]program
	embedded map[string]bool
	// mistake is why the last change could not be generated or built, "" if it could, and
	// told is when that was said.
	mistake string
	told    time.Time
}

// soon is for how long a mistake is not told again. A proto whose code is generated, but
// does not build, is built once more because the generated files have changed.
const soon = 3 * time.Second

// run runs the project until ctx ends.
func run(ctx context.Context, app *cli.App, o options, packages []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := findProject()
	if err != nil {
		return err
	}
	servers, err := p.findServers(ctx, packages)
	if err != nil {
		return err
	}
	// The paths in buf.gen.yaml are relative to the working directory.
	if err := os.Chdir(p.dir); err != nil {
		return err
	}
	if err := p.makeState(); err != nil {
		return err
	}
	locked, err := p.place.Lock()
	if err != nil {
		return err
	}
	defer func() { _ = locked.Close() }() // the end of the process does it as well

	// Without this the process would end at once when nobody reads its output any more, and
	// the servers with it, before they have finished what they do.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	out := &output{app: app, onGone: cancel, width: len(self)}
	for _, srv := range servers {
		for number := range o.instances {
			out.width = max(out.width, len(srv.instance(number, o.instances)))
		}
	}
	s := &session{project: p, servers: servers, running: make(map[string]program), announcer: announcer{out: out, shown: make(map[role]string)}}
	url, stopNATS, err := s.nats(ctx, &o)
	if err != nil {
		return err
	}
	defer stopNATS()
	s.register = devstate.NewRegister(p.place, devstate.State{NATS: url, Namespace: o.link.namespace()}, func(err error) {
		out.sayf(warning, "aegis chaos will not find the servers: %v", err)
	})
	defer s.register.Close()
	conn, err := o.link.connect(ctx, app, url)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = conn.Close(ctx) // it was only read
	}()
	stopMonitor, err := s.monitor(ctx, o, conn)
	if err != nil {
		return err
	}
	defer stopMonitor()
	return s.serve(ctx, o, conn, url)
}

// nats starts a NATS server unless the user has named one, and returns its URL.
func (s *session) nats(ctx context.Context, o *options) (url string, stop func(), err error) {
	if o.link.guest != nil {
		return "", func() {}, s.enter(ctx, &o.link)
	}
	if o.link.outside {
		return "", func() {}, nil
	}
	nats, err := startNATS(o.port, s.project.state, o.clean)
	if err != nil {
		return "", nil, err
	}
	url = nats.ClientURL()
	s.out.sayf(cli.Plain, "NATS with JetStream listens on %s", url)
	if !strings.HasSuffix(url, fmt.Sprintf(":%d", defaultPort)) {
		if o.port == 0 {
			s.out.sayf(warning, "Another program listens on port %d.", defaultPort)
		}
		s.out.sayf(warning, "Programs find this NATS by NATS_URL=%s, and aegis by --server %s.", url, url)
		s.flags = " --server " + url
	}
	return url, nats.Stop, nil
}

// connect connects dev itself to NATS, to see which services are served.
func (l link) connect(ctx context.Context, app *cli.App, url string) (*aegis.Conn, error) {
	if l.outside {
		return app.Connect(ctx)
	}
	opts := []aegis.ConnOption{aegis.WithLogger(app.Logger())}
	if name := l.namespace(); name != "" {
		opts = append(opts, aegis.WithNamespace(name))
	}
	return aegis.Connect(ctx, url, opts...)
}

// serve builds and runs the servers until ctx ends, and returns when all have ended.
func (s *session) serve(ctx context.Context, o options, conn *aegis.Conn, url string) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.start(ctx, o, url, &all)
	w, err := watch(ctx, s.project.dir, s.out)
	if err != nil {
		return err
	}
	all.Go(func() { s.watch(ctx, conn) })

	progress := s.out.app.Progress("building the servers; the first time everything is compiled")
	s.update(ctx, change{protos: true, code: true}, progress.Done)
	progress.Done()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case c := <-w.changes:
			s.update(ctx, c, func() {})
		}
	}
	s.out.sayf(cli.Plain, "stopping the servers")
	return nil
}

// start makes the instances, which wait for their first programs.
func (s *session) start(ctx context.Context, o options, url string, all *sync.WaitGroup) {
	s.instances = make(map[string][]*instance)
	env := o.link.environment(os.Environ(), url)
	var instances []*instance
	var again []chan struct{}
	for _, srv := range s.servers {
		for number := range o.instances {
			name := srv.instance(number, o.instances)
			i := &instance{
				name: name, dir: s.project.dir, env: env, grace: o.grace, out: s.out,
				lines: s.out.lines(name, len(instances)), next: make(chan string, 1), again: make(chan struct{}, 1),
				report: func(pid int) { s.register.Runs(devstate.Server{Name: name, Package: srv.pkg, PID: pid}) },
			}
			instances = append(instances, i)
			again = append(again, i.again)
			s.instances[srv.name] = append(s.instances[srv.name], i)
		}
	}
	for _, i := range instances {
		all.Go(func() { i.run(ctx) })
	}
	all.Go(devstate.PassStartAgain(ctx, again))
}

// update generates and builds what a change asks for, and has the instances run the
// programs that are new. What does not generate or build is told, and what runs goes on.
func (s *session) update(ctx context.Context, c change, beforeOutput func()) {
	begun := time.Now()
	if !c.protos && !c.code && !s.embeds(c) {
		return
	}
	var files []protoreflect.FileDescriptor
	programs := make(map[string]program)
	err := func() (err error) {
		if c.protos {
			if files, err = generateCode(ctx, s.out); err != nil {
				return fmt.Errorf("the protos cannot be generated:\n%w", err)
			}
			s.know(files)
		}
		for _, srv := range s.servers {
			if programs[srv.name], err = s.project.build(ctx, srv); err != nil {
				return fmt.Errorf("%s cannot be built:\n%w", srv.name, err)
			}
		}
		return nil
	}()
	beforeOutput()
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		s.complain(err)
		return
	}
	s.replace(programs, c, time.Since(begun))
	if embedded, err := s.project.embedded(ctx, s.servers); err == nil {
		s.embedded = embedded
	}
}

// complain tells a mistake.
func (s *session) complain(err error) {
	if s.mistake == err.Error() && time.Since(s.told) < soon {
		return
	}
	s.mistake, s.told = err.Error(), time.Now()
	s.out.sayf(cli.Red, "%v", err)
	s.out.sayf(warning, "%s", s.waiting())
}

// waiting says what runs while there is a mistake to mend.
func (s *session) waiting() string {
	if len(s.running) == 0 {
		return "No server runs yet. Mend this, and it goes on by itself."
	}
	return "The servers go on as they were built before. Mend this, and they are built again."
}

// replace has the instances run the programs that differ from those they run.
func (s *session) replace(programs map[string]program, c change, took time.Duration) {
	replaced := 0
	for _, srv := range s.servers {
		prog := programs[srv.name]
		if s.running[srv.name].sum == prog.sum {
			continue
		}
		verb := "starting"
		if _, ok := s.running[srv.name]; ok {
			verb = "restarting"
		}
		s.out.sayf(cli.Plain, "built %s in %.1f s; %s it", srv.name, took.Seconds(), verb)
		for _, i := range s.instances[srv.name] {
			i.replace(prog.path)
		}
		s.running[srv.name] = prog
		s.project.removeOld(srv, prog)
		replaced++
	}
	if replaced == 0 && (s.mistake != "" || c.protos) {
		s.out.sayf(cli.Plain, "built; the servers are as they were, and go on running")
	}
	s.mistake = ""
}

// embeds reports whether a file is embedded in a program.
func (s *session) embeds(c change) bool {
	for path := range c.paths {
		if s.embedded[path] {
			return true
		}
	}
	return false
}
