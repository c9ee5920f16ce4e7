package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// roleCommand is the first argument of a child; the role and the URL of NATS
// follow.
const roleCommand = "role"

// op is something that a child can be asked to do.
type op func(arg json.RawMessage) (any, error)

// role is what a child process is. start returns what it can be asked, and how
// to stop it.
type role struct {
	start func(url string) (map[string]op, func(), error)
}

func roles() map[string]role {
	return map[string]role{
		"nats":            {startNATS},
		"aegis-service":   {startAegisEcho},
		"aegis-client":    {startAegisClient},
		"plain-service":   {startPlainEcho},
		"plain-client":    {startPlainClient},
		"bench-service":   {startBenchService},
		"balanced-client": {startBalancedClient},
		"leader-client":   {startLeaderClient},
		"aegis-messages":  {startAegisMessages},
		"plain-messages":  {startPlainMessages},

		"stream-service": {startStreamService},
		"stream-client":  {startStreamClient},
		"plain-source":   {startPlainSource},
		"plain-reader":   {startPlainReader},
		"queue-client":   {startSelecting(aegis.QueueGroup())},
		"turns-client":   {startSelecting(aegis.RoundRobin())},
		"least-client":   {startSelecting(aegis.LeastLoaded())},
		"late-service":   {startLateService},

		"slow-service": {startSlowService},
		"flood-client": {startFloodClient},
	}
}

// runRole is the main of a child.
func runRole(args []string) error {
	if len(args) != 2 {
		return errors.New("a role and a URL are expected")
	}
	r, ok := roles()[args[0]]
	if !ok {
		return fmt.Errorf("there is no role %q", args[0])
	}
	out := json.NewEncoder(os.Stdout)
	ops, stop, err := r.start(args[1])
	if err != nil {
		return out.Encode(reply{Error: err.Error()})
	}
	defer stop()
	ops["cpu"] = func(json.RawMessage) (any, error) { return cpuTime() }
	ready, err := answer(ops["ready"], nil)
	if err != nil {
		return err
	}
	if err := out.Encode(ready); err != nil {
		return err
	}
	return answerAll(json.NewDecoder(os.Stdin), out, ops)
}

// answerAll answers until there are no more questions.
func answerAll(in *json.Decoder, out *json.Encoder, ops map[string]op) error {
	for {
		var q question
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r, err := answer(ops[q.Op], q.Arg)
		if err != nil {
			r = reply{Error: q.Op + ": " + err.Error()}
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

func answer(do op, arg json.RawMessage) (reply, error) {
	if do == nil {
		return reply{}, nil
	}
	result, err := do(arg)
	if err != nil {
		return reply{}, err
	}
	raw, err := json.Marshal(result)
	return reply{Result: raw}, err
}

// typed makes an op of a function with an argument.
func typed[Arg, Result any](do func(Arg) (Result, error)) op {
	return func(raw json.RawMessage) (any, error) {
		var arg Arg
		if err := json.Unmarshal(raw, &arg); err != nil {
			return nil, err
		}
		return do(arg)
	}
}

// callTimeout is the deadline of calls that are given none.
const callTimeout = 5 * time.Second
