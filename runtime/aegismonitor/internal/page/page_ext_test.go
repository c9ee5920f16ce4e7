package page_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"regexp"
	"testing"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/page"
)

// Limit is that of all files of the page together, compressed. The task allows 150 KB; the page
// has far less, and a library that changes that should be noticed.
const limit = 75 << 10

func TestPageIsSmall(t *testing.T) {
	t.Parallel()

	compressed := new(bytes.Buffer)
	for name, data := range filesOf(t) {
		writer := gzip.NewWriter(compressed)
		if _, err := writer.Write(data); err != nil {
			t.Fatal(name, err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(name, err)
		}
	}
	if compressed.Len() > limit {
		t.Errorf("the page has %d bytes compressed, want at most %d", compressed.Len(), limit)
	}
}

// TestPageIsComplete has the files that the server gives and that index.html names.
func TestPageIsComplete(t *testing.T) {
	t.Parallel()

	files := filesOf(t)
	for _, name := range []string{"index.html", "app.js", "app.css", "icon.svg"} {
		if len(files[name]) == 0 {
			t.Errorf("the page has no %s", name)
		}
	}
	for _, match := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(files["index.html"], -1) {
		if _, ok := files[string(match[1])]; !ok {
			t.Errorf("index.html names %q, which is no file of the page", match[1])
		}
	}
}

// TestPageLoadsNothingFromElsewhere holds the page to its promise: not a request to anywhere
// else. The names of XML languages are addresses that nothing is loaded from.
func TestPageLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()

	address := regexp.MustCompile(`(?i)(?:https?:|wss?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s"'` + "`" + `)]*`)
	language := regexp.MustCompile(`^http://www\.w3\.org/(?:2000/svg|1999/xhtml|1998/Math/MathML|1999/xlink|XML/1998/namespace)$`)
	for name, data := range filesOf(t) {
		for _, found := range address.FindAllString(string(data), -1) {
			if !language.MatchString(found) {
				t.Errorf("%s has the address %q", name, found)
			}
		}
	}
}

// TestPageKeepsToItsPolicy: the Content-Security-Policy of the monitor allows no script and no
// style within index.html, and no code made of text.
func TestPageKeepsToItsPolicy(t *testing.T) {
	t.Parallel()

	files := filesOf(t)
	if found := regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\sstyle=|\son[a-z]+=`).Find(files["index.html"]); found != nil {
		t.Errorf("index.html has %q, which the policy refuses", found)
	}
	if found := regexp.MustCompile(`\beval\(|\bnew Function\b`).Find(files["app.js"]); found != nil {
		t.Errorf("app.js has %q, which the policy refuses", found)
	}
}

func filesOf(t *testing.T) map[string][]byte {
	t.Helper()

	files := make(map[string][]byte)
	err := fs.WalkDir(page.Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(page.Files(), path)

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	return files
}
