package dev

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestLabelsOfGuests(t *testing.T) {
	t.Parallel()
	me := developer()
	require.NotEmpty(t, me)
	for _, test := range []struct {
		given       []string
		environment string
		where, want string
	}{
		{nil, "", " --where dev=" + me, "dev=" + me},
		{nil, "dev=anna, tier = gold", " --where dev=anna", "dev=anna,tier=gold"},
		{[]string{"dev=bob"}, "dev=anna", " --where dev=bob", "dev=bob"},
		{[]string{"team=a b", "dev=bob"}, "", " --where 'team=a b'", "dev=bob,team=a b"},
		{[]string{"branch=x=y"}, "", " --where branch=x=y", "branch=x=y,dev=" + me},
	} {
		g, err := guestOf(test.given, test.environment, false)
		require.NoError(t, err)
		assert.Equal(t, test.where, g.where())
		assert.Equal(t, []string{"AEGIS_LABELS=" + test.want, "AEGIS_RESERVED=true"}, g.environment())
	}
	for given, want := range map[string]string{
		"a": "use KEY=VALUE", "a=b,c": "has no comma", "a= b": "no space around it", "=b": `label "" is not a key`,
		"a b=c": `label "a b" is not a key`, "a=" + strings.Repeat("x", 254): "is not a text of at most 253 bytes",
	} {
		_, err := guestOf([]string{given}, "", false)
		require.ErrorContains(t, err, want)
		assert.True(t, cli.Own(err), "it is wrong use")
	}
}

func TestGuestsAreToldFromTheInstancesOfTheCluster(t *testing.T) {
	t.Parallel()
	reserved, err := guestOf([]string{"dev=anna"}, "", false)
	require.NoError(t, err)
	joined, err := guestOf([]string{"dev=anna"}, "", true)
	require.NoError(t, err)
	for _, test := range []struct {
		instance         aegis.Instance
		reserved, joined bool
	}{
		{aegis.Instance{}, false, false},
		{aegis.Instance{Labels: map[string]string{"dev": "bob"}, Reserved: true}, false, false},
		{aegis.Instance{Labels: map[string]string{"dev": "anna"}, Reserved: true}, true, false},
		{aegis.Instance{Labels: map[string]string{"dev": "anna"}}, false, true},
	} {
		assert.Equal(t, []bool{test.reserved, test.joined}, []bool{reserved.is(&test.instance), joined.is(&test.instance)})
	}
	for _, p := range []spec.Pattern{spec.SingleActive, spec.Broadcast, spec.Command, spec.Event} {
		assert.Equal(t, []bool{false, true}, []bool{reserved.gets(p), joined.gets(p)}, p)
	}
	assert.True(t, reserved.gets(spec.LoadBalanced))
}

func TestEnvironmentOfGuests(t *testing.T) {
	t.Parallel()
	inherited := []string{"HOME=/srv/me", "NATS_URL=nats://far", "NATS_USER=me", "NATS_PASSWORD=x", "NATS_CA=/ca", "AEGIS_LABELS=a=b", "AEGIS_RESERVED=1"}
	leads := []string{"NATS_URL=nats://nats.shop.svc:4222", "NATS_SOCKS_PROXY=socks5://127.0.0.1:1", "AEGIS_LABELS=dev=anna", "AEGIS_RESERVED=false"}
	l := link{outside: true, guest: &guest{}, env: leads}
	assert.Equal(t, append([]string{"HOME=/srv/me", "NATS_USER=me", "NATS_PASSWORD=x", "NATS_CA=/ca"}, leads...), l.environment(inherited, ""))
	l.env = slices.Concat(leads, []string{"NATS_CREDS=/c"})
	assert.Equal(t, append([]string{"HOME=/srv/me", "NATS_CA=/ca"}, l.env...), l.environment(inherited, ""), "one way to authenticate")
}

func TestLogOfTheWayIsToldAsLines(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log := slog.New(sayer{&output{app: &cli.App{Out: &text}, width: len(self)}})
	log.Debug("nothing")
	log.Warn("aegis kube: NATS in the cluster cannot be reached; it is tried again", "err", errors.New("aegis kube: no pod"))
	log.With("a", 1).WithGroup("g").Info("aegis kube: NATS in the cluster is reached again", "pod", "nats-1")
	assert.Equal(t, "aegis | NATS in the cluster cannot be reached; it is tried again (err: no pod)\n"+
		"aegis | NATS in the cluster is reached again (pod: nats-1)\n", text.String())
}
