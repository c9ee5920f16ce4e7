package deploytest_test

import (
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

const (
	root      = "../../../../"
	rulesFile = root + "deploy/prometheus/aegis.rules.yml"
)

func ruleGroups(t *testing.T) []rulefmt.RuleGroup {
	t.Helper()
	parsed, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	return parsed.Groups
}

// alerts returns all alerts by their names.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	found := map[string]rulefmt.Rule{}
	for _, g := range ruleGroups(t) {
		for _, r := range g.Rules {
			if r.Alert != "" {
				require.NotContains(t, found, r.Alert)
				found[r.Alert] = r
			}
		}
	}
	return found
}

// record adds what the recording rules make to what is exported. A rule uses only those
// before it.
func (c checker) record(t *testing.T) {
	t.Helper()
	for _, g := range ruleGroups(t) {
		for _, r := range g.Rules {
			if r.Record != "" {
				has, err := c.query(r.Expr)
				require.NoError(t, err, r.Record)
				c[r.Record] = has
			}
		}
	}
}

var labelInText = regexp.MustCompile(`\$labels\.(\w+)`)

func TestRulesNameOnlyWhatIsExported(t *testing.T) {
	t.Parallel()
	c := exported(t)
	c.record(t)
	for name, r := range alerts(t) {
		has, err := c.query(r.Expr)
		require.NoError(t, err, name)
		for key, text := range r.Annotations {
			for _, m := range labelInText.FindAllStringSubmatch(text, -1) {
				require.True(t, has[m[1]], "the %s of %s has the label %q, its expression only %v", key, name, m[1], has)
			}
		}
	}
}

// The test above would be worth nothing if it let these pass.
func TestWhatIsNotExportedIsFound(t *testing.T) {
	t.Parallel()
	c := checker{"m": set("service", "le"), "n": set("service", "group")}
	for query, problem := range map[string]string{
		`o`:                                  `nobody exports "o"`,
		`{service="a"}`:                      `nobody exports ""`,
		`rate(m{method="a"}[5m])`:            `m has no label "method"`,
		`sum by (method) (rate(m[5m]))`:      `has the label "method"`,
		`1 + (m and on (group) n)`:           `has the label "group"`,
		`sum by (service) (m) > n`:           `never match`,
		`histogram_quantile(0.9, n)`:         `needs the label le`,
		`max_over_time((-o)[1h:1m])`:         `nobody exports "o"`,
		`absent(o)`:                          `nobody exports "o"`,
		`topk(3, n{kind="a"})`:               `n has no label "kind"`,
		`sum(m`:                              `parse error`,
		`sum without (method) (m)`:           `has the label "method"`,
		`sum by (group) (max by (group)(m))`: `has the label "group"`,
	} {
		_, err := c.query(query)
		require.ErrorContains(t, err, problem, query)
	}
	has, err := c.query(`histogram_quantile(0.9, sum by (service, le) (rate(m{job="a"}[5m]))) and on (service) n`)
	require.NoError(t, err)
	require.Equal(t, set("service"), has)
}

func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile(root + "docs/alerts.md")
	require.NoError(t, err)
	found := alerts(t)
	for name, r := range found {
		require.Contains(t, []string{"warning", "critical"}, r.Labels["severity"], name)
		require.NotZero(t, r.For, name)
		require.NotEmpty(t, r.Annotations["summary"], name)
		require.NotEmpty(t, r.Annotations["description"], name)
		page, section, ok := strings.Cut(r.Annotations["runbook"], "#")
		require.True(t, ok, name)
		require.Equal(t, "docs/alerts.md", page, name)
		require.Contains(t, headings(string(docs)), section, name)
		row := "\n| `" + name + "` | " + r.Labels["severity"] + " | " + duration(r) + " | "
		require.True(t, strings.Contains(string(docs), row), "docs/alerts.md does not begin a row with %s", row)
	}
	for _, m := range regexp.MustCompile("\n\\| `(\\w+)` ").FindAllStringSubmatch(string(docs), -1) {
		require.Contains(t, found, m[1], "docs/alerts.md has an alert that is no more")
	}
}

func duration(r rulefmt.Rule) string {
	text := r.For.String()
	return text[:len(text)-1] + " " + map[byte]string{'s': "s", 'm': "min", 'h': "h"}[text[len(text)-1]]
}

// headings returns the anchors of a page.
func headings(page string) []string {
	var anchors []string
	for line := range strings.Lines(page) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			anchors = append(anchors, strings.ReplaceAll(strings.ToLower(strings.TrimSpace(title)), " ", "-"))
		}
	}
	return anchors
}
