package consent_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// A person at a terminal is asked, and nothing is done unless the answer is yes.
func TestPersonIsAsked(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	client := testservice.Client(t, n)
	args := []string{"commands", "delete", testservice.Service, "--all", "--server", n.URL()}
	for _, c := range []struct {
		answer, out, err string
		code             int
	}{
		{"n\n", "", "Nothing was changed.", 1},
		{"\n", "", "Nothing was changed.", 1},
		{"y\n", "1 command deleted.", "[y/N]", 0},
	} {
		if c.answer == "n\n" {
			testservice.Send(t, client, "x")
		}
		person, program := clitest.Terminal(t, 80)
		p := clitest.StartInput(t, nil, program, args...)
		p.Err().Await(t, "Delete 1 command of "+testservice.Service+" (1 WAITING). Go on? [y/N]")
		_, err := person.WriteString(c.answer)
		require.NoError(t, err)
		r := p.Wait(t)
		assert.Equal(t, c.code, r.Code, r.Err)
		assert.Contains(t, r.Out, c.out)
		assert.Contains(t, r.Err, c.err)
	}
}

// Ctrl-C at the question ends the command, and nothing is done.
func TestQuestionIsInterrupted(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	cmd := testservice.Send(t, testservice.Client(t, n), "x")
	_, program := clitest.Terminal(t, 80)
	p := clitest.StartInput(t, nil, program, "commands", "delete", testservice.Service, cmd.ID(), "--server", n.URL())
	p.Err().Await(t, "[y/N]")
	p.Interrupt(t)
	assert.Equal(t, 130, p.Wait(t).Code)
	r := clitest.Run(t, nil, "commands", "show", testservice.Service, cmd.ID(), "--server", n.URL())
	assert.Equal(t, 0, r.Code, r.Err)
}
