package top

import (
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/top/feed"
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// opener begins to follow a document. The channel is closed some time after stop.
type opener func(path string) (events <-chan feed.Event, stop func())

// view is a page that a digit opens.
type view struct {
	name string // also that of the command: ":leaders"
	page page
}

// stream is what the page on the screen is fed from.
type stream struct {
	serial int // tells the messages of this stream from those of the one before
	path   string
	events <-chan feed.Event
	stop   func()
	last   []byte // the last document
}

// fed is the message that something came from a stream.
type fed struct {
	serial int
	event  feed.Event
	closed bool
}

// tick is the message that the age of the data is to be drawn anew.
type tick struct{}

// model is the state of the terminal view. Its methods are called one after the other.
type model struct {
	open   opener
	now    func() time.Time
	style  cli.Style
	views  []view
	view   int
	detail *detail // nil unless a service is open
	focus  int     // the grid of the page that has the keys
	stream stream
	link   link

	width, height int
	prompt        prompt
	help          bool
	note          string // what was wrong with the last input

	interrupted bool  // it was ended with Ctrl-C
	failed      error // why it cannot go on
}

// link is how the monitor is heard.
type link struct {
	header *monitorapi.Header // of the last document, nil before the first
	heard  time.Time          // the last sign of life, by the clock here
	aged   time.Duration      // how old the data were then
	broken error              // why nothing comes now
	since  time.Time          // when that began
}

// newModel returns a model that opens with the overview, or with the details of a service.
func newModel(open opener, style cli.Style, service string) *model {
	m := &model{open: open, now: time.Now, style: style, width: 80, height: 24, views: []view{
		{"services", newOverview()},
		{"leaders", newLeaders()},
		{"queues", newQueues()},
		{"subscriptions", newSubscriptions()},
		{"deadletters", newLetters()},
		{"activity", newActivity()},
	}}
	if service != "" {
		m.detail = newDetail(service)
	}
	return m
}

// Init begins to follow the first page.
func (m *model) Init() tea.Cmd { return tea.Batch(m.follow(), nextTick()) }

// nextTick waits until the age of the data is to be drawn anew.
func nextTick() tea.Cmd {
	return tea.Tick(time.Second, func(time.Time) tea.Msg { return tick{} })
}

// page returns the page on the screen.
func (m *model) page() page {
	if m.detail != nil {
		return m.detail
	}
	return m.views[m.view].page
}

// grid returns the grid that has the keys.
func (m *model) grid() *grid {
	grids := m.page().grids()
	return grids[m.focus%len(grids)]
}

// follow has the stream be that of the page on the screen. Pages of one document share it.
func (m *model) follow() tea.Cmd {
	path := m.page().path()
	if m.stream.path == path {
		if m.stream.last != nil {
			m.take(m.stream.last)
		}
		return nil
	}
	m.close()
	events, stop := m.open(path)
	m.stream = stream{serial: m.stream.serial + 1, path: path, events: events, stop: stop}
	return m.stream.next()
}

// close ends the stream.
func (m *model) close() {
	if m.stream.stop != nil {
		m.stream.stop()
	}
}

// next waits for the next event.
func (s stream) next() tea.Cmd {
	return func() tea.Msg {
		event, open := <-s.events
		return fed{s.serial, event, !open}
	}
}

// Update changes the model by a message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tick:
		return m, nextTick()
	case fed:
		return m, m.feed(msg)
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case tea.PasteMsg:
		m.prompt.insert(msg.Content)
		m.typed()
	}
	return m, nil
}

// feed takes an event of a stream.
func (m *model) feed(msg fed) tea.Cmd {
	if msg.serial != m.stream.serial || msg.closed {
		return nil
	}
	switch {
	case msg.event.Err != nil:
		if lasting(msg.event.Err) && m.link.header == nil { // nothing was seen yet, nor will be
			m.failed = msg.event.Err
			return tea.Quit
		}
		m.link.fail(msg.event.Err, m.now())
	case msg.event.Document != nil:
		m.stream.last = msg.event.Document
		m.take(msg.event.Document)
	case m.link.broken == nil:
		m.link.alive(m.now())
	}
	return m.stream.next()
}

// take shows a document.
func (m *model) take(doc []byte) {
	header, err := m.page().take(doc)
	if err != nil {
		m.link.fail(err, m.now())
		return
	}
	m.link = heardFrom(header, m.now())
}

// lasting tells whether an error is an answer of the monitor that stays the same.
func lasting(err error) bool {
	status, ok := errors.AsType[*feed.StatusError](err)
	return ok && status.Lasting()
}

func heardFrom(header *monitorapi.Header, now time.Time) link {
	l := link{header: header, heard: now}
	if n := header.NATS; !n.Connected && !n.Since.IsZero() {
		l.aged = max(0, header.At.Sub(n.Since))
	}
	return l
}

// alive notes a sign of life without a document: nothing has changed. While the monitor has
// no NATS, its data get older nevertheless.
func (l *link) alive(now time.Time) {
	if l.header != nil && l.header.NATS.Connected {
		l.heard = now
	}
}

func (l *link) fail(err error, now time.Time) {
	if l.broken == nil {
		l.since = now
	}
	l.broken = err
}

// old tells whether the data are no longer fed.
func (l *link) old() bool {
	return l.header != nil && (l.broken != nil || !l.header.NATS.Connected)
}
