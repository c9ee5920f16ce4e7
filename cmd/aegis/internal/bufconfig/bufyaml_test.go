package bufconfig

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWorkspaceIsRead(t *testing.T) {
	t.Parallel()
	w, err := ReadBufYAML("buf.yaml", []byte(`version: v2
modules:
  - path: shop
    name: buf.build/acme/shop
    excludes: [shop/old, shop/v1/gone.proto]
    lint: {use: &rules [STANDARD]}
  - excludes: [common/x]
    includes: [common/a, ./common/b/]
    path: ./common
lint: {use: *rules, anything: 1}
breaking: {use: [FILE]}
plugins: [{plugin: buf-plugin-x}]
deps: [buf.build/bufbuild/protovalidate, "buf.build/bufbuild/protovalidate:v1.2.2"]
`))
	require.NoError(t, err)
	assert.Equal(t, &Workspace{Version: "v2", Modules: []Module{
		{Dir: "common", Includes: []string{"a", "b"}, Excludes: []string{"x"}},
		{Dir: "shop", Name: "buf.build/acme/shop", Excludes: []string{"old", "v1/gone.proto"}},
	}}, w)
	w, err = ReadBufYAML("buf.yaml", []byte("version: v2\nname: buf.build/acme/all\n"))
	require.NoError(t, err)
	assert.Equal(t, []Module{{Dir: ".", Name: "buf.build/acme/all"}}, w.Modules)
	w, err = ReadBufYAML("buf.yaml", []byte("version: v1\nname: x\nbuild: {excludes: [a/b]}\nlint: {}\n"))
	require.NoError(t, err)
	assert.Equal(t, &Workspace{Version: "v1", Modules: []Module{{Dir: ".", Name: "x", Excludes: []string{"a/b"}}}}, w)
	w, err = ReadBufWork("buf.work.yaml", []byte("version: v1\ndirectories: [b, a/]\n"))
	require.NoError(t, err)
	assert.Equal(t, []Module{{Dir: "a"}, {Dir: "b"}}, w.Modules)
}

func TestAllProblemsOfAWorkspaceAreTold(t *testing.T) {
	t.Parallel()
	_, err := ReadBufYAML("buf.yaml", []byte(`version: v2
name: x
modules:
  - {path: ../up}
  - {path: /root}
  - {path: a, excludes: [b], includes: [a]}
  - {path: [a]}
  - {paths: a}
deps:
  - buf.build/googleapis/googleapis
  - buf.build/bufbuild/protovalidate-testing
`))
	require.EqualError(t, err, `buf.yaml:1:1: a name beside modules belongs to none of them; write it into the module that it is for
buf.yaml:4:12: path has to be a path within the directory of this file; ../up is not
buf.yaml:5:12: path has to be a path within the directory of this file; /root is not
buf.yaml:6:26: an exclude has to be below the directory a of its module; b is not
buf.yaml:6:41: an include has to be below the directory a of its module; a is not
buf.yaml:7:12: path has to be a string
buf.yaml:8:6: a module has no key paths; did you mean path?
buf.yaml:10:5: the dependency buf.build/googleapis/googleapis is not supported, as aegis fetches nothing; put its files into the workspace (`+"`buf export buf.build/googleapis/googleapis -o third_party`"+`) and make that directory a module
buf.yaml:11:5: the dependency buf.build/bufbuild/protovalidate-testing is not supported, as aegis fetches nothing; put its files into the workspace (`+"`buf export buf.build/bufbuild/protovalidate-testing -o third_party`"+`) and make that directory a module`)
	_, err = ReadBufWork("buf.work.yaml", []byte("version: v1\n"))
	assert.EqualError(t, err, "buf.work.yaml:1:1: directories is missing or empty")
}
