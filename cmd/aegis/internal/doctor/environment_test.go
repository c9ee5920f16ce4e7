package doctor

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestDoctorShowsTheEnvironment(t *testing.T) {
	t.Parallel()
	url := runPlain(t)
	env := []string{"AEGIS_ENVIRONMENT=local", "AEGIS_INSTANCE=mine", "AEGIS_BUILD=v9", "AEGIS_ZONE=eu-1a", "AEGIS_NODE=laptop", "AEGIS_LABELS=b=2,a=1", "AEGIS_RESERVED=true"}
	const line = "kind=local instance=mine build=v9 node=laptop zone=eu-1a labels=a=1,b=2 reserved=true"
	r := clitest.Run(t, env, "doctor", "-s", url, "--check", "environment")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "environment.detected     "+line+"\n")

	r = clitest.Run(t, env, "doctor", "-s", url, "--check", "environment", "-o", "json")
	var report Report
	require.NoError(t, json.Unmarshal([]byte(r.Out), &report))
	assert.Equal(t, []Finding{{ID: "environment.detected", Severity: OK, Text: line}}, report.Checks[0].Findings)

	r = clitest.Run(t, []string{"AEGIS_ENVIRONMENT=moon"}, "doctor", "-s", url)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Out, "environment.invalid")
	assert.Contains(t, r.Out, `"moon" is no environment`)
	assert.Contains(t, r.Out, "connection.up", "the rest is examined all the same")
}

func TestZonesThatNotAllInstancesSay(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveJobs(t, n.Connect(t), done) // makes the bucket
	js := jetStream(t, n.URL())
	put := func(name string, edit func(*wire.Instance)) {
		_, err := js.Publish(t.Context(), "$KV.aegis-registry.a.v1.S."+name, record(t, "a.v1.S", name, edit))
		require.NoError(t, err)
	}
	zone := func(r *wire.Instance) { r.Zone = "eu-1a" }
	put("one", zone)
	put("two", zone)
	s := session(t, n.URL())
	require.False(t, has(examine(t, s, Scope{}, "registry"), "registry.zones", Info), "all say one")
	put("three", func(*wire.Instance) {})
	f := find(t, examine(t, s, Scope{}, "registry"), "registry.zones", "a.v1.S")
	assert.Equal(t, Info, f.Severity)
	assert.Contains(t, f.Text, "others do not: three;")
}

// A developer's instance may be ill, or of another proto: that is no trouble of the service.
func TestReservedInstancesAreNotComparedWithOthers(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	serveJobs(t, n.Connect(t), done)
	js := jetStream(t, n.URL())
	put := func(name string, edit func(*wire.Instance)) {
		_, err := js.Publish(t.Context(), "$KV.aegis-registry.a.v1.S."+name, record(t, "a.v1.S", name, edit))
		require.NoError(t, err)
	}
	put("one", func(*wire.Instance) {})
	put("mine", func(r *wire.Instance) {
		r.Reserved, r.Unhealthy, r.ServiceVersion, r.Zone = true, true, "2.0.0", "home"
		r.Patterns = map[string]string{"Work": "broadcast"}
	})
	found := becomes(t, session(t, n.URL()), Scope{}, func(found []Finding) bool { return has(found, "registry.reserved", Info) }, "registry")
	for _, id := range []string{"registry.unhealthy", "registry.versions", "registry.patterns", "registry.zones"} {
		for _, f := range found {
			assert.NotEqual(t, id, f.ID, f.Text)
		}
	}
	assert.Contains(t, find(t, found, "registry.ready", "").Text, "2 instances of 2 services")
	assert.Contains(t, find(t, found, "registry.reserved", "").Text, "1 more instance is reserved")
}
