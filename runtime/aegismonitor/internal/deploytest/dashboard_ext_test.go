package deploytest_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/stretchr/testify/require"
)

// board returns the dashboard, and fails if Grafana's own schema does not allow something in it.
func board(t *testing.T) *dashboard.Dashboard {
	t.Helper()
	plugins.RegisterDefaultPlugins()
	data, err := os.ReadFile(root + "deploy/grafana/aegis.json")
	require.NoError(t, err)
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict(data); err != nil {
		require.Empty(t, err.Error()) // a list of errors, which may be empty
	}
	var d dashboard.Dashboard // the one above has no panels: they are only checked
	require.NoError(t, json.Unmarshal(data, &d))
	require.NoError(t, d.Validate())
	require.NotEmpty(t, d.Panels)
	return &d
}

// concrete is a query as Grafana sends it.
func concrete(query string) string {
	return strings.NewReplacer("$service", "a|b", "$instance", ".*", "$__rate_interval", "1m", "$__range", "1h").Replace(query)
}

var (
	labelInLegend = regexp.MustCompile(`\{\{(\w+)\}\}`)
	variable      = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

func TestDashboardNamesOnlyWhatIsExported(t *testing.T) {
	c := exported(t)
	d := board(t)
	shown := map[string]bool{}
	for _, either := range d.Panels {
		p := either.Panel
		if p == nil {
			continue // a row
		}
		require.NotEmpty(t, p.Targets, *p.Title)
		for _, target := range p.Targets {
			q, ok := target.(*prometheus.Dataquery)
			require.True(t, ok, "%T", target)
			has, err := c.query(concrete(q.Expr))
			require.NoError(t, err, *p.Title)
			for _, m := range labelInLegend.FindAllStringSubmatch(*q.LegendFormat, -1) {
				require.True(t, has[m[1]], "the legend of %s has the label %q, its query only %v", *p.Title, m[1], has)
			}
			for name := range c {
				if regexp.MustCompile(`\b` + name + `\b`).MatchString(q.Expr) {
					shown[name] = true
				}
			}
		}
	}
	for name := range c {
		if strings.HasPrefix(name, "aegis_") {
			require.True(t, shown[name], "the dashboard does not show %s", name)
		}
	}
	checkVariables(t, c, d)
}

func checkVariables(t *testing.T, c checker, d *dashboard.Dashboard) {
	t.Helper()
	known := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		known[v.Name] = true
		if v.Type != dashboard.VariableTypeQuery {
			continue
		}
		m := variable.FindStringSubmatch(*v.Definition)
		require.NotNil(t, m, *v.Definition)
		has, err := c.query(concrete(m[1]))
		require.NoError(t, err)
		require.True(t, has[m[2]], *v.Definition)
	}
	data, err := os.ReadFile(root + "deploy/grafana/aegis.json")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(data), -1) {
		require.True(t, known[m[1]] || m[1] == "__all", "no variable $%s", m[1])
	}
	for _, a := range d.Annotations.List {
		if a.Expr != nil {
			_, err := c.query(concrete(*a.Expr))
			require.NoError(t, err)
		}
	}
}

func TestPanelsDoNotOverlap(t *testing.T) {
	taken := map[[2]uint32]string{}
	ids := map[uint32]bool{}
	for _, either := range board(t).Panels {
		id, g, title := place(t, &either)
		require.False(t, ids[id], title)
		ids[id] = true
		require.LessOrEqual(t, g.X+g.W, uint32(24), title)
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				require.Empty(t, taken[[2]uint32{x, y}], title)
				taken[[2]uint32{x, y}] = title
			}
		}
	}
}

// place returns where a panel or a row is, and its title.
func place(t *testing.T, either *dashboard.PanelOrRowPanel) (uint32, *dashboard.GridPos, string) {
	t.Helper()
	if r := either.RowPanel; r != nil {
		return r.Id, r.GridPos, *r.Title
	}
	p := either.Panel
	require.NotEmpty(t, *p.Description, *p.Title)
	return *p.Id, p.GridPos, *p.Title
}
