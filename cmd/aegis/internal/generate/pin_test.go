package generate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
)

func TestPinsThatDifferFromTheCommandAreNoted(t *testing.T) {
	t.Parallel()
	mod := filepath.Join(t.TempDir(), "tools.mod")
	require.NoError(t, os.WriteFile(mod, []byte("module x\nrequire github.com/aegisrpc/aegis v0.2.0\nrequire (\n\tgoogle.golang.org/protobuf v1.36.5 // indirect\n)\n"), 0o644))
	plugins := []bufconfig.Plugin{
		{Known: bufconfig.Go, Pin: bufconfig.Pin{Go: true, Modfile: mod}},
		{Known: bufconfig.Go, Pin: bufconfig.Pin{Go: true, Modfile: mod}},
		{Known: bufconfig.Aegis, Pin: bufconfig.Pin{Go: true, Modfile: mod}},
		{Known: bufconfig.Go, Pin: bufconfig.Pin{Go: true, Version: "v1.30.0"}},
		{Known: bufconfig.Go, Pin: bufconfig.Pin{Go: true, Version: "latest"}},
		{Known: bufconfig.Go, Pin: bufconfig.Pin{Go: true, Modfile: mod + ".none"}},
		{Known: bufconfig.Go},
	}
	own := map[string]string{"google.golang.org/protobuf": "v1.36.12", "github.com/aegisrpc/aegis": "v0.3.0"}
	const end = " in itself, with which the code was generated"
	assert.Equal(t, []string{
		mod + " has protoc-gen-go v1.36.5, and this command has v1.36.12" + end,
		mod + " has protoc-gen-aegis v0.2.0, and this command has v0.3.0" + end,
		"the template has protoc-gen-go v1.30.0, and this command has v1.36.12" + end,
	}, pinNotes(plugins, own))
	own["google.golang.org/protobuf"], own["github.com/aegisrpc/aegis"] = "v1.36.5", "v0.3.1-0.20261128000000-abcdefabcdef"
	assert.Len(t, pinNotes(plugins, own), 1)
}
