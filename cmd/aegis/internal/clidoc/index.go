package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// indexHead begins llms.txt.
const indexHead = `# Aegis

> A framework in Go for services on NATS: a .proto names the pattern of each rpc (load balanced,
> single active, broadcast, event, command, stream), and typed clients and servers are generated.
> The command aegis writes, runs, calls and looks after services.

## Documents

`

// links are those of a document, which lead elsewhere from llms.txt.
var links = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)

// index returns llms.txt: each document with its title and its first sentence.
func index(root string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return "", err
	}
	tasks, err := filepath.Glob(filepath.Join(root, "docs", "howto", "[a-z]*.md"))
	if err != nil {
		return "", err
	}
	paths = append(paths, tasks...)
	var b strings.Builder
	b.WriteString(indexHead)
	for _, path := range append([]string{filepath.Join(root, "README.md")}, paths...) {
		text, err := os.ReadFile(path) //nolint:gosec // a document of this module
		if err != nil {
			return "", err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return "", err
		}
		title, about := summary(string(text))
		fmt.Fprintf(&b, "- [%s](%s): %s\n", title, filepath.ToSlash(name), about)
	}
	b.WriteString("\n## Code\n\n" +
		"- [options.proto](proto/aegis/v1/options.proto): every option of the patterns\n" +
		"- [examples/order](examples/order): a service with all patterns\n")
	return b.String(), nil
}

// summary returns the title of a document, and the first sentence of its first paragraph.
func summary(text string) (title, about string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		paragraph = strings.TrimSpace(paragraph)
		if rest, isTitle := strings.CutPrefix(paragraph, "# "); isTitle {
			title, paragraph, _ = strings.Cut(rest, "\n")
			paragraph = strings.TrimSpace(paragraph)
		}
		if paragraph == "" || strings.HasPrefix(paragraph, "```") || strings.HasPrefix(paragraph, "#") || strings.HasPrefix(paragraph, "|") {
			continue
		}
		paragraph = links.ReplaceAllString(strings.Join(strings.Fields(paragraph), " "), "$1")
		if i := strings.Index(paragraph, ". "); i > 0 { // a sentence
			paragraph = paragraph[:i+1]
		}
		return title, paragraph
	}
	return title, ""
}
