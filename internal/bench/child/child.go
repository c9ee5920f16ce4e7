// Package child is what the processes of a benchmark have in common: each plays
// a role, is asked over its standard input, and answers over its standard
// output, in JSON. It is apart from the benchmark for contenders whose
// dependencies do not belong into its module.
package child

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Command is the first argument of a child; the role and the URL of NATS follow.
const Command = "role"

// Op is something that a child can be asked to do.
type Op func(arg json.RawMessage) (any, error)

// Start begins a role. It returns what the child can be asked, and how to stop
// it. What the op "ready" returns is told when it has begun.
type Start func(url string) (ops map[string]Op, stop func(), err error)

// Question is sent by the parent, over the child's standard input.
type Question struct {
	Op  string          `json:"op"`
	Arg json.RawMessage `json:"arg"`
}

// Reply answers a Question.
type Reply struct {
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// Run is the main of a child: args are a role and a URL.
func Run(roles map[string]Start, args []string) error {
	if len(args) != 2 {
		return errors.New("a role and a URL are expected")
	}
	start, ok := roles[args[0]]
	if !ok {
		return fmt.Errorf("there is no role %q", args[0])
	}
	out := json.NewEncoder(os.Stdout)
	ops, stop, err := start(args[1])
	if err != nil {
		return out.Encode(Reply{Error: err.Error()})
	}
	defer stop()
	ops["cpu"] = func(json.RawMessage) (any, error) { return CPUTime() }
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
func answerAll(in *json.Decoder, out *json.Encoder, ops map[string]Op) error {
	for {
		var q Question
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r, err := answer(ops[q.Op], q.Arg)
		if err != nil {
			r = Reply{Error: q.Op + ": " + err.Error()}
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

func answer(do Op, arg json.RawMessage) (Reply, error) {
	if do == nil {
		return Reply{}, nil
	}
	result, err := do(arg)
	if err != nil {
		return Reply{}, err
	}
	raw, err := json.Marshal(result)
	return Reply{Result: raw}, err
}

// Typed makes an Op of a function with an argument.
func Typed[Arg, Result any](do func(Arg) (Result, error)) Op {
	return func(raw json.RawMessage) (any, error) {
		var arg Arg
		if err := json.Unmarshal(raw, &arg); err != nil {
			return nil, err
		}
		return do(arg)
	}
}
