package demonstration_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

func TestDemoRunsFromTheBinaryAlone(t *testing.T) {
	t.Parallel()
	env := []string{"PATH=", "TMPDIR=" + t.TempDir()} // no go command is to be found
	r := clitest.Run(t, env, "demo")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "All went as promised.")
	assert.Contains(t, r.Out, "aegis init")
}

func TestFaultsAreLeftOutOfADemoThatGoesOnOnly(t *testing.T) {
	t.Parallel()
	r := clitest.Run(t, nil, "demo", "--faults=false")
	assert.Equal(t, 2, r.Code)
	assert.Contains(t, r.Err, "--forever")
	assert.Empty(t, r.Out)
}

func TestDemoEndsWithCtrlC(t *testing.T) {
	t.Parallel()
	p := clitest.Start(t, []string{"TMPDIR=" + t.TempDir()}, "demo")
	p.Out().Await(t, "echo-1 was killed")
	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code, r.Err)
	assert.NotContains(t, r.Out, "All went as promised.")
}
