package root_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

// completions returns what the shell is offered.
func completions(t *testing.T, env []string, args ...string) []string {
	t.Helper()
	r := clitest.Run(t, env, append([]string{"__completeNoDesc"}, args...)...)
	assert.Equal(t, 0, r.Code, r.Err)
	lines := strings.Split(strings.TrimSpace(r.Out), "\n")
	return lines[:len(lines)-1] // the last one is the directive
}

func TestNamesAreCompleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for args, want := range map[string]string{
		"ls aegistest.v1.J":                               jobs,
		"tree order":                                      orders,
		"watch order":                                     orders,
		"health order":                                    orders,
		"top order":                                       orders,
		"ping order":                                      orders,
		"describe order":                                  orders,
		"describe order.v1.OrderService/Pl":               orders + "/PlaceOrder",
		"call order":                                      orders + "/",
		"call " + probes + "/":                            probes + "/Do " + probes + "/Get " + probes + "/Quick",
		"send " + jobs + "/":                              work + " " + jobs + "/Once",
		"send " + probes + "/":                            "",
		"result " + jobs + "/W":                           work,
		"progress " + jobs + "/W":                         work,
		"cancel " + jobs + "/W":                           work,
		"publish " + events + "/S":                        events + "/Stored",
		"subscribe aegistest.v1.E":                        events + "/",
		"subscribe order.v1.OrderService/":                orders + "/OrderPlaced",
		"bench " + flows + "/C":                           flows + "/Chat " + flows + "/Count",
		"commands aegistest":                              jobs + " " + events,
		"commands list " + jobs + "/W":                    work,
		"commands pause " + jobs + "/O":                   jobs + "/Once",
		"deadletters " + jobs + "/W":                      work,
		"deadletters show aegistest.v1.J":                 jobs,
		"deadletters retry " + jobs + "/W":                work,
		"streams aegistest.v1.J":                          jobs,
		"streams pause " + events + "/S":                  events + "/Stored",
		"leaders order":                                   orders,
		"leaders handover " + orders + "/":                orders + "/default",
		"doctor --service order":                          orders,
		"mcp --service order":                             orders,
		"ls " + jobs + " ":                                "",
		"ls --output ":                                    "table json",
		"help commands l":                                 "list",
		"call 'nothing.v1.Nothing/":                       "",
		"call --namespace elsewhere order":                "",
		"call --server nats://127.0.0.1:1 order":          "",
		"call " + probes + "/Do ":                         "",
		"commands cancel " + jobs + " ":                   "",
		"call --server nats://user:pass@127.0.0.1:1 orde": "",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			assert.ElementsMatch(t, strings.Fields(want), completions(t, w.env(), strings.Split(args, " ")...))
		})
	}
}

// A shell waits a second at most for a NATS that does not answer, and reads of no error.
func TestCompletionDoesNotWait(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	r := clitest.Run(t, []string{"NATS_URL=" + silent(t)}, "__completeNoDesc", "ls", "")
	assert.Equal(t, 0, r.Code)
	assert.Equal(t, ":4\n", r.Out)
	assert.NotContains(t, r.Err, "NATS")
	assert.GreaterOrEqual(t, time.Since(begun), time.Second, "it has not asked")
	assert.Less(t, time.Since(begun), 30*time.Second)
}
