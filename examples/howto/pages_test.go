package howto

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root  = "../.."
	pages = root + "/docs/howto"

	// longest is how many lines a page may have.
	longest = 60
)

// sources says, for each language of a block, where its text has to be, word for word but for
// the indentation: in code that tests run.
func sources() map[string][]string {
	return map[string][]string{
		"go": {"examples", "runtime", "internal/natstest"}, "proto": {"examples"}, "sql": {"examples"}, "conf": {"examples"},
		"yaml": {"deploy", "examples"}, "sh": nil,
	}
}

// ran are the lines of shell that pages show, beside those of the command aegis, which
// TestPagesOfTheHowtoShowFlagsThatThereAre in cmd/aegis/internal/root checks.
func ran() []string {
	return []string{
		"nats account backup backup --force", // TestStreamsMoveToAnotherNATS in internal/natstest
		"nats account restore backup",        // as above
	}
}

func TestPagesShowCodeThatIsTested(t *testing.T) {
	tested := make(map[string]string)
	for lang, dirs := range sources() {
		for _, dir := range dirs {
			tested[lang] += texts(t, filepath.Join(root, dir), "."+lang)
		}
	}
	blocks := regexp.MustCompile("(?s)\n```(\\w*)\n(.*?)```")
	for _, page := range pageNames(t) {
		for _, block := range blocks.FindAllStringSubmatch(read(t, page), -1) {
			lang, text := block[1], flat(block[2])
			_, known := sources()[lang]
			switch {
			case !assert.True(t, known, "%s has a block of %q: say where that is tested", page, lang):
			case lang == "sh":
				for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
					line, _, _ = strings.Cut(line, " #")
					line = strings.TrimSpace(line)
					assert.True(t, strings.HasPrefix(line, "aegis ") || slices.Contains(ran(), line), "%s: nothing runs %q", page, line)
				}
			default:
				if !strings.Contains(tested[lang], text) { // assert.Contains would print all of them
					t.Errorf("%s: no tested file has this:\n%s", page, block[2])
				}
			}
		}
	}
}

func TestPagesAreShortAndListed(t *testing.T) {
	index := read(t, "README.md")
	for _, page := range pageNames(t) {
		text := read(t, page)
		assert.LessOrEqual(t, strings.Count(text, "\n"), longest, "lines of %s", page)
		if page == "README.md" {
			continue
		}
		title, _, _ := strings.Cut(text, "\n")
		assert.Regexp(t, `^# How do I .*\?$`, title, page)
		assert.Contains(t, index, "]("+page+")", "the index has the page")
		before, _, ok := strings.Cut(text, "\n```")
		assert.True(t, ok, "%s shows code", page)
		assert.LessOrEqual(t, strings.Count(before, "\n"), 8, "%s begins with code", page)
	}
}

func TestGuardSeesOtherCode(t *testing.T) {
	code := flat(texts(t, ".", ".go"))
	assert.Contains(t, code, flat("func UserFromContext(ctx context.Context) string {\n\tuser, _ := ctx.Value(userKey{}).(string)\n"))
	assert.NotContains(t, code, flat("func UserFromContext(ctx context.Context)"+" error {\n"))
}

func pageNames(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(pages)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Contains(t, names, "README.md")
	return names
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pages, page))
	require.NoError(t, err)
	return string(text)
}

// texts returns the files below a directory that have a suffix, without indentation.
func texts(t *testing.T, dir, suffix string) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) && (suffix != ".yaml" || !strings.HasSuffix(path, ".yml") && !strings.HasSuffix(path, "README.md")) {
			return err
		}
		text, err := os.ReadFile(path)
		all.WriteString(flat(string(text)))
		return err
	}))
	return all.String()
}

// flat takes the indentation away.
func flat(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
