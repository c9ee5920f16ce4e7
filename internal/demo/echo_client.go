package demo

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const (
	echoClientRole = "echo-client"
	// echoProgressEvery is after how many finished calls the client says so.
	echoProgressEvery = 25
)

// echoNews is a line of what the client process prints.
type echoNews struct {
	// Finished is how many calls have ended, well or not.
	Finished int `json:"finished"`
	// Report comes with the last line.
	Report *echoReport `json:"report,omitempty"`
}

// echoReport is how the client's calls ended.
type echoReport struct {
	// Answered counts the calls by the instance that answered.
	Answered map[string]int `json:"answered"`
	Failed   []failedCall   `json:"failed"`
	// Slowest is how long the slowest answer took.
	Slowest time.Duration `json:"slowest"`
}

// failedCall is a call without a good answer.
type failedCall struct {
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"took"`
	// Code is the error's, Text says more.
	Code aegis.Code `json:"code"`
	Text string     `json:"text"`
	// FromServer: a server said so, and not the client by itself.
	FromServer bool `json:"from_server"`
}

func (r *echoReport) add(instance string, began time.Time, took time.Duration, err error) {
	if err == nil {
		r.Answered[instance]++
		r.Slowest = max(r.Slowest, took)
		return
	}
	r.Failed = append(r.Failed, failedCall{
		Began: began, Took: took, Code: aegis.CodeOf(err), Text: err.Error(), FromServer: aegis.IsWireError(err),
	})
}

// echoLoad says how many calls the client process makes, and with which deadline.
type echoLoad struct {
	load

	deadline time.Duration
}

func (l *echoLoad) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(echoClientRole, flag.ContinueOnError)
	l.addFlags(flags)
	flags.DurationVar(&l.deadline, "deadline", time.Second, "of each call")
	return flags
}

func (l *echoLoad) args() []string { return append(l.load.args(), "--deadline", l.deadline.String()) }

// echoClient is the client process: it calls, and prints echoNews as JSON lines.
func echoClient(ctx context.Context, args []string, out io.Writer) error {
	var l echoLoad
	return asClient(ctx, l.flags(), args, &l.load, func(conn *aegis.Conn) error {
		client, err := echov1aegis.NewEchoServiceClient(conn)
		if err != nil {
			return err
		}
		return l.run(ctx, client, json.NewEncoder(out))
	})
}

func (l *echoLoad) run(ctx context.Context, client echov1aegis.EchoServiceClient, out *json.Encoder) error {
	type result struct {
		instance string
		began    time.Time
		took     time.Duration
		err      error
	}
	results := each(&l.load, func(_ int, n int64) result {
		began := time.Now()
		instance, err := l.call(ctx, client, n)
		return result{instance, began, time.Since(began), err}
	})
	report := &echoReport{Answered: map[string]int{}}
	for finished := 1; finished <= l.count; finished++ {
		r := <-results
		report.add(r.instance, r.began, r.took, r.err)
		if finished%echoProgressEvery == 0 {
			if err := out.Encode(echoNews{Finished: finished}); err != nil {
				return err
			}
		}
	}
	return out.Encode(echoNews{Finished: l.count, Report: report})
}

func (l *echoLoad) call(ctx context.Context, client echov1aegis.EchoServiceClient, n int64) (instance string, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()
	text := fmt.Sprint("call ", n)
	resp, err := client.Echo(ctx, &echov1.EchoRequest{Text: text})
	if err == nil && resp.GetText() != text {
		err = aegis.NewError(aegis.CodeDataLoss, fmt.Sprintf("%q was answered with %q", text, resp.GetText()))
	}
	return resp.GetInstance(), err
}
