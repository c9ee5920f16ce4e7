package root_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

func TestPagesOfTheHowtoShowFlagsThatThereAre(t *testing.T) {
	pages, err := filepath.Glob("../../../../docs/howto/*.md")
	require.NoError(t, err)
	shown := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, line := range regexp.MustCompile(`(?m)^aegis .*$`).FindAllString(string(text), -1) {
			line, _, _ = strings.Cut(line, " #")
			line, _, _ = strings.Cut(line, " >")
			r := clitest.Run(t, nil, append(strings.Fields(line)[1:], "--help")...)
			require.Zero(t, r.Code, "%s: %s\n%s", page, line, r.Err)
			require.Contains(t, r.Out, "Usage:\n  "+strings.Join(strings.Fields(line)[:2], " "), page)
			shown++
		}
	}
	require.Greater(t, shown, 3)
}
