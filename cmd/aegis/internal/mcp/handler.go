package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// handler handles the calls of one tool. It is safe for concurrent use.
type handler struct {
	method      *aegisreflect.Method
	maxMessages int
}

// handle calls the method. That the call has failed the model is told as the tool's result,
// as it may mend its input.
func (h *handler) handle(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	out, err := h.call(ctx, req)
	if err != nil {
		return failed(err), nil
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: string(text)}}, StructuredContent: out}, nil
}

// failed returns the result of a call that has failed.
func failed(err error) *mcp.CallToolResult {
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}}
}

// call returns the result as an object, as the protocol wants it.
func (h *handler) call(ctx context.Context, req *mcp.CallToolRequest) (any, error) {
	arguments := req.Params.Arguments
	if len(arguments) == 0 {
		arguments = json.RawMessage("{}")
	}
	m := h.method
	if m.Descriptor().IsStreamingClient() {
		return h.sendStream(ctx, arguments)
	}
	msg, err := m.Request(arguments)
	if err != nil {
		return nil, err
	}
	switch {
	case m.Pattern() == aegisreflect.PatternBroadcast:
		return h.broadcast(ctx, msg)
	case m.Pattern() == aegisreflect.PatternCommand:
		return h.command(ctx, req, msg)
	case m.Pattern() == aegisreflect.PatternEvent:
		return h.publish(ctx, msg)
	case m.Descriptor().IsStreamingServer():
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		in, err := m.Stream(ctx, msg)
		if err != nil {
			return nil, err
		}
		return h.collect(in)
	default:
		return h.json(m.Call(ctx, msg))
	}
}

// json returns a response as JSON.
func (h *handler) json(res *dynamicpb.Message, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return h.method.Service().JSON(res)
}

// responses are the messages of a stream.
type responses struct {
	Responses []json.RawMessage `json:"responses"`
	// More is set if the stream was longer than --max-messages allows.
	More bool `json:"more,omitempty"`
}

func (h *handler) collect(in aegis.Receiver[dynamicpb.Message]) (*responses, error) {
	defer func() { _ = in.Close() }() // always nil
	out := &responses{Responses: []json.RawMessage{}}
	for {
		res, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		text, err := h.json(res, err)
		if err != nil {
			return nil, err
		}
		if len(out.Responses) == h.maxMessages {
			out.More = true
			return out, nil
		}
		out.Responses = append(out.Responses, text)
	}
}

// sendStream sends the requests of a stream, and returns what comes back.
func (h *handler) sendStream(ctx context.Context, arguments json.RawMessage) (any, error) {
	var in struct {
		Requests []json.RawMessage `json:"requests"`
	}
	if err := json.Unmarshal(arguments, &in); err != nil {
		return nil, fmt.Errorf("the input has to be an object with a list of requests: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !h.method.Descriptor().IsStreamingServer() {
		out, err := h.method.Upload(ctx)
		if err != nil {
			return nil, err
		}
		if err := h.sendAll(in.Requests, out.Send); err != nil {
			return nil, err
		}
		return h.json(out.CloseAndRecv())
	}
	both, err := h.method.Bidi(ctx)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- errors.Join(h.sendAll(in.Requests, both.Send), both.CloseSend()) }()
	out, err := h.collect(both)
	cancel()
	if sendErr := <-failed; sendErr != nil && err == nil && !out.More {
		return nil, sendErr
	}
	return out, err
}

func (h *handler) sendAll(requests []json.RawMessage, send func(*dynamicpb.Message) error) error {
	for i, text := range requests {
		msg, err := h.method.Request(text)
		if err != nil {
			return fmt.Errorf("request %d: %w", i+1, err)
		}
		if err := send(msg); errors.Is(err, io.EOF) {
			return nil // the server has ended the stream, and says why
		} else if err != nil {
			return err
		}
	}
	return nil
}

// reply is the reply of one instance to a broadcast.
type reply struct {
	Instance string          `json:"instance"`
	Response json.RawMessage `json:"response,omitempty"`
	Error    string          `json:"error,omitempty"`
}

func (h *handler) broadcast(ctx context.Context, msg proto.Message) (any, error) {
	replies := []reply{}
	for r := range h.method.Broadcast(ctx, msg) {
		if r.Instance == "" {
			return nil, r.Err
		}
		one := reply{Instance: r.Instance}
		text, err := h.json(r.Msg, r.Err)
		if err != nil {
			one.Error = err.Error()
		}
		one.Response = text
		replies = append(replies, one)
	}
	return map[string]any{"replies": replies}, nil
}

func (h *handler) publish(ctx context.Context, msg proto.Message) (any, error) {
	ack, err := h.method.Publish(ctx, msg)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"published": true}
	if ack != nil {
		out["stream"], out["sequence"] = ack.Stream, ack.Sequence
	}
	return out, nil
}

// command sends a command, and waits for its result. The client hears of its progress if it
// has asked for that.
func (h *handler) command(ctx context.Context, req *mcp.CallToolRequest, msg proto.Message) (any, error) {
	command, err := h.method.Send(ctx, msg)
	if err != nil {
		return nil, err
	}
	if token := req.Params.GetProgressToken(); token != nil {
		for p, err := range command.Progress(ctx) {
			if err != nil {
				break // Result says why
			}
			_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ // the result matters, and follows
				ProgressToken: token, Progress: p.Percent, Total: 100, Message: p.Message,
			})
		}
	}
	res, err := command.Result(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("command %s goes on: %w", command.ID(), err)
	}
	return h.json(res, err)
}
