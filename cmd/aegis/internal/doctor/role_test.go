package doctor

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// row returns the subjects in the cells of a row of a document: to publish and to
// subscribe.
func row(t *testing.T, document, label string) (publish, subscribe []string) {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/" + document)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 || strings.TrimSpace(cells[1]) != label {
			continue
		}
		return subjects(cells[2]), subjects(cells[3])
	}
	require.Failf(t, "row missing", "%s has no row %q", document, label)
	return nil, nil
}

// subjects returns what a cell quotes, but for settings and names of operations.
func subjects(cell string) []string {
	var list []string
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		if strings.ContainsAny(m[1], ".") && !strings.Contains(m[1], ":") {
			list = append(list, m[1])
		}
	}
	return list
}

// all returns the subjects of parts without queue groups, each once.
func all(parts ...part) (publish, subscribe []string) {
	for _, p := range parts {
		publish = append(publish, p.publish...)
		for _, s := range p.subscribe {
			subscribe = append(subscribe, strings.TrimSuffix(s, " aegis"))
		}
	}
	return set(publish), set(subscribe)
}

func set(list []string) []string {
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func without(list []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(names, s) })
}

// The tables of the documents and the roles say the same, word for word.
func TestRolesAreThoseOfTheDocuments(t *testing.T) {
	t.Parallel()
	const protocol, registered = "protocol.md", "registry.md"
	client := slices.DeleteFunc(clientParts(), func(p part) bool {
		return p.name == "discovery" || p.name == "single active methods" || p.name == partComparing().name
	})
	for _, c := range []struct {
		document, label string
		parts           []part
	}{
		{protocol, "publisher", publisherParts()},
		{protocol, "subscriber", subscriberParts()},
		{protocol, "who looks after dead letters", letterParts()},
		{protocol, "client of S", client},
		{protocol, "server of S", []part{partServer()}},
		{registered, "client that discovers S", []part{clientParts()[6]}},
		{registered, "publisher, sender, caller that compare patterns", []part{partComparing()}},
		{registered, "server of S", []part{partRegistering("S")}},
	} {
		publish, subscribe := row(t, c.document, c.label)
		gotPublish, gotSubscribe := all(c.parts...)
		assert.Equal(t, set(publish), gotPublish, "%s, %s: publish", c.document, c.label)
		assert.Equal(t, set(subscribe), gotSubscribe, "%s, %s: subscribe", c.document, c.label)
	}

	// The row of senders says ".result of both" for two subjects.
	publish, subscribe := row(t, protocol, "sender of commands")
	gotPublish, gotSubscribe := all(senderParts()...)
	both := []string{"ns.res.S.*.*.result", "ns.told.S.*.*.result"}
	assert.Equal(t, set(without(publish, ".result")), without(gotPublish, both...))
	assert.Contains(t, publish, ".result")
	assert.Subset(t, gotPublish, both)
	assert.Equal(t, set(subscribe), gotSubscribe)

	// The row of workers says "as a subscriber, with C for E and without A" before its own.
	publish, subscribe = row(t, protocol, "worker")
	gotPublish, gotSubscribe = all(partResults())
	assert.Equal(t, set(publish), gotPublish)
	assert.Equal(t, set(subscribe), gotSubscribe)
	work, _ := all(workerParts()[0])
	stored, _ := row(t, protocol, "subscriber")
	for _, s := range stored {
		switch {
		case strings.HasSuffix(s, ".A"), s == "ns.try.S.>", s == "ns.grp.S.>":
			assert.NotContains(t, work, s)
		default:
			assert.Contains(t, work, ofCommands(s))
		}
	}
}

// Single active groups stand in a paragraph, which names the bucket's API as a whole.
func TestSingleActiveGroupsAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../docs/protocol.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "Single active groups need JetStream")
	require.True(t, found)
	paragraph, _, _ := strings.Cut(rest, "\n\n")
	clients, servers, found := strings.Cut(paragraph, "; servers")
	require.True(t, found)
	publish, subscribe := all(clientParts()[5])
	assert.Equal(t, set(subjects(clients)), set(append(publish, subscribe...)))
	servers, lookers, found := strings.Cut(servers, "Who looks at")
	require.True(t, found)
	publish, subscribe = all(partAsking())
	assert.Equal(t, set(subjects(lookers)), set(append(publish, subscribe...)))
	publish, subscribe = all(partStanding(), partHandingOver())
	publish = slices.DeleteFunc(publish, func(s string) bool { return strings.HasPrefix(s, "J.") })
	assert.Equal(t, set(subjects(servers)), set(append(publish, subscribe...)))
	assert.Contains(t, servers, "`KV_ns-leaders`")
}

// docs/doctor.md has the table of the role monitor.
func TestTheMonitorIsThatOfTheDocument(t *testing.T) {
	t.Parallel()
	publish, subscribe := row(t, "doctor.md", "monitor")
	gotPublish, gotSubscribe := all(append(monitorParts(), partScaling())...)
	assert.Equal(t, gotPublish, set(publish))
	assert.Equal(t, gotSubscribe, set(subscribe))
}

func TestSubjectsOfAnotherJetStream(t *testing.T) {
	t.Parallel()
	e := expander{namespace: "prod", service: "a.v1.S", instance: "one", api: "$JS.hub.API", inbox: "_MINE"}
	for subject, want := range map[string]string{
		"$KV.ns-registry.S.I":                "$JS.hub.API.$KV.prod-registry.a.v1.S.one",
		"$JS.API.STREAM.INFO.KV_ns-registry": "$JS.hub.API.STREAM.INFO.KV_prod-registry",
		"J.CONSUMER.MSG.NEXT.E.>":            "$JS.hub.API.CONSUMER.MSG.NEXT.prod-events-a-v1-S.>",
		"$JS.ACK.*.*.C.>":                    "$JS.ACK.*.*.prod-commands-a-v1-S.>",
		"<inbox prefix>.*.live":              "_MINE.*.live",
		"ns.beat.S._events.I":                "prod.beat.a.v1.S._events.one",
		"$KV.ns-leaders.>":                   "$JS.hub.API.$KV.prod-leaders.>",
		"ns.call.S.* aegis":                  "prod.call.a.v1.S.* aegis",
	} {
		assert.Equal(t, want, e.expand(subject))
	}
}
