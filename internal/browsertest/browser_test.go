package browsertest_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// size is that of a window, in pixels.
type size struct{ width, height int64 }

// The sizes at which the page is looked at: a phone, a laptop, and a screen on the wall.
var (
	phone  = size{390, 844}
	laptop = size{1440, 900}
	wall   = size{2560, 1440}
)

// tab is a page of a browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex // guards problems
	problems []string   // what the browser has complained of
}

// startBrowser starts Chromium, which ends with the test. Tabs are made of the context.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var err error
	for range 3 { // right after the end of another one, Chromium fails now and then
		var browser context.Context
		if browser, err = tryBrowser(t); err == nil {
			return browser
		}
	}
	require.NoError(t, err, "Chromium does not start; .ci/run installs it on Debian as root")
	return nil
}

func tryBrowser(t *testing.T) (context.Context, error) {
	allocator, end := chromedp.NewExecAllocator(context.Background(),
		chromedp.Headless,
		chromedp.NoSandbox, // it does not start as root otherwise
		chromedp.WSURLReadTimeout(patience),
	)
	t.Cleanup(end)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	return browser, chromedp.Do(browser)
}

// open opens an address in a new tab, and fails the test at its end if the browser has
// complained of an error.
func open(t *testing.T, browser context.Context, address string, s size, dark bool) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	p := &tab{t: t, ctx: ctx}
	require.NoError(t, chromedp.Do(ctx)) // the tab is there
	require.NoError(t, chromedp.Listen(ctx, p.hear))
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.do(
		chromedp.EmulateViewport(s.width, s.height),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
		command(log.Enable, cdp.Empty{}),
		chromedp.Navigate(address),
	)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Empty(t, p.problems, "the browser complains")
	})
	return p
}

// command is a command of the browser's protocol as an action.
func command[P any](c cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

// hear takes in an event of the browser.
func (p *tab) hear(event any) {
	var problem string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("%s %s", e.ExceptionDetails.Text, e.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			problem = fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *page.EventJavascriptDialogOpening:
		problem = "a dialog of the browser: " + e.Message
	}
	if problem != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.problems = append(p.problems, problem)
	}
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, actions...))
}

// run runs an action and returns its value.
func run[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	require.NoError(p.t, err)
	return value
}

// eval evaluates an expression in the page, and waits for it if it is a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// text returns what the page shows.
func (p *tab) text() string {
	p.t.Helper()
	return eval[string](p, "document.body.innerText")
}

// await waits until an expression is true in the page, and shows what the page has if it is
// not in time.
func (p *tab) await(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !eval[bool](p, "Boolean("+expression+")") {
		if time.Now().After(deadline) {
			p.shot("failed-" + filepath.Base(p.t.Name()))
			require.FailNow(p.t, "not in time", "%s\nThe page shows:\n%s", expression, p.text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shows waits until the page shows all of some texts.
func (p *tab) shows(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.await(fmt.Sprintf("document.body.innerText.toLowerCase().includes(%s)", quoted(strings.ToLower(text))))
	}
}

// keyCodes are those of the keys that type nothing, as the browser's protocol has them.
var keyCodes = map[string]int64{"Enter": 13, "Escape": 27, "Tab": 9}

// press presses keys, one after the other, as a keyboard does: the page may take them for
// itself.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		down := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, Text: key, WindowsVirtualKeyCode: keyCodes[key]}
		if keyCodes[key] != 0 {
			down.Code, down.Text = key, map[string]string{"Enter": "\r"}[key]
		}
		p.do(
			command(input.DispatchKeyEvent, down),
			command(input.DispatchKeyEvent, input.DispatchKeyEventParams{
				Type: input.DispatchKeyEventTypeKeyUp, Key: key, Code: down.Code, WindowsVirtualKeyCode: keyCodes[key],
			}),
		)
	}
}

// goTo changes the fragment of the address.
func (p *tab) goTo(hash string) {
	p.t.Helper()
	eval[bool](p, "location.hash = "+quoted(hash)+", true")
}

// forgive forgets the complaints of the browser that contain one of some texts.
func (p *tab) forgive(texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = slices.DeleteFunc(p.problems, func(problem string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(problem, text) })
	})
}

// fits fails if the page is wider than its window: only tables scroll sideways, in frames of
// their own.
func (p *tab) fits() {
	p.t.Helper()
	require.LessOrEqual(p.t,
		eval[int](p, "document.scrollingElement.scrollWidth"), eval[int](p, "window.innerWidth"), "the page scrolls sideways")
}

// shot writes a picture of the window to the folder of pictures.
func (p *tab) shot(name string) {
	p.t.Helper()
	picture := run(p, chromedp.CaptureScreenshot())
	folder := pictures()
	require.NoError(p.t, os.MkdirAll(folder, 0o755))
	require.NoError(p.t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644))
}

// pictures is the folder that pictures are written to.
func pictures() string {
	if folder := os.Getenv("PICTURES"); folder != "" {
		return folder
	}
	return filepath.Join("..", "..", "build", "pictures")
}

//go:embed node_modules/axe-core/axe.min.js
var axe string

// violation is a rule of axe-core that a page breaks, and where.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

// accessible fails if axe-core finds something in the page that is hard to use for some.
func (p *tab) accessible() {
	p.t.Helper()
	if !eval[bool](p, "'axe' in window") {
		eval[bool](p, axe+";true")
	}
	found := eval[[]violation](p, "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
	var told strings.Builder
	for _, v := range found {
		fmt.Fprintf(&told, "%s: %s\n", v.ID, v.Help)
		for _, node := range v.Nodes {
			fmt.Fprintf(&told, "    %s\n    %s\n", node.HTML, node.FailureSummary)
		}
	}
	require.Empty(p.t, told.String(), "axe-core complains")
}

// quoted returns a text as JavaScript has it.
func quoted(text string) string {
	data, _ := json.Marshal(text) // a string always can be encoded
	return string(data)
}
