// Package describe has the subcommand describe.
package describe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/internal/sample"
	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// Service is a service as JSON shows it.
type Service struct {
	Service     string   `json:"service"`
	Version     string   `json:"version,omitempty"`
	Comment     string   `json:"comment,omitempty"`
	Descriptors string   `json:"descriptors"`
	Instances   []string `json:"instances"`
	Reserved    []string `json:"reserved,omitempty"` // instances that take only calls that choose them
	Methods     []Method `json:"methods"`
}

// Method is a method as JSON shows it.
type Method struct {
	Method      string          `json:"method"`
	Pattern     string          `json:"pattern"`
	Kind        string          `json:"kind"`
	Request     string          `json:"request"`
	Response    string          `json:"response"`
	Group       string          `json:"group,omitempty"`
	Timeout     string          `json:"timeout,omitempty"`
	Idempotency string          `json:"idempotency,omitempty"`
	Durable     bool            `json:"durable,omitempty"`
	Comment     string          `json:"comment,omitempty"`
	Options     json.RawMessage `json:"options,omitempty"`
	Template    json.RawMessage `json:"template"`
}

// Command returns the subcommand describe.
func Command(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "describe SERVICE[/METHOD]",
		Short: "Describe a service or a method: comments, patterns, messages",
		Long: "Describes a service with its methods, or a method with the fields of its messages, as the proto has\n" +
			"them, comments included; and how to call the method. The service itself tells, or, where no\n" +
			"instance runs, the descriptors that are kept with its stored events and commands.",
		Example: "  aegis describe order.v1.OrderService\n  aegis describe order.v1.OrderService/PlaceOrder",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return app.WithConn(c.Context(), func(ctx context.Context, conn *aegis.Conn) error {
				return describe(ctx, app, conn, args[0])
			})
		},
	}
}

func describe(ctx context.Context, app *cli.App, conn *aegis.Conn, arg string) error {
	if !strings.Contains(arg, "/") {
		s, err := methods.FindService(ctx, conn, arg)
		if err == nil {
			return describeService(ctx, app, conn, s)
		}
		if !errors.Is(err, aegisreflect.ErrUnknownService) || !strings.Contains(arg, ".") {
			return err
		}
		if m, methodErr := methods.Find(ctx, conn, arg); methodErr == nil { // a method with a dot before its name
			return describeMethod(app, m)
		}
		return err
	}
	m, err := methods.Find(ctx, conn, arg)
	if err != nil {
		return err
	}
	return describeMethod(app, m)
}

func describeService(ctx context.Context, app *cli.App, conn *aegis.Conn, s *aegisreflect.Service) error {
	instances, err := conn.Instances(ctx, s.Name())
	if err != nil {
		return err
	}
	out := Service{
		Service: s.Name(), Version: s.Version(), Comment: aegisreflect.Comment(s.Descriptor()), Descriptors: s.Hash(),
		Instances: []string{}, Methods: []Method{},
	}
	for _, i := range instances {
		if i.Reserved {
			out.Reserved = append(out.Reserved, i.Name)
		} else {
			out.Instances = append(out.Instances, i.Name)
		}
	}
	for _, m := range s.Methods() {
		one, err := methodOf(m)
		if err != nil {
			return err
		}
		out.Methods = append(out.Methods, one)
	}
	if app.JSON() {
		return app.PrintJSON(out)
	}
	head := app.Style.Paint(cli.Bold, out.Service)
	if out.Version != "" {
		head += "  version " + cli.Clean(out.Version)
	}
	running := cli.Count(len(out.Instances), "instance") + ": " + strings.Join(out.Instances, ", ")
	if len(out.Reserved) > 0 {
		running += "\n" + strconv.Itoa(len(out.Reserved)) + " reserved: " + strings.Join(out.Reserved, ", ")
	}
	if err := app.Printf("%s", app.Fit(fmt.Sprintf("%s\n%s\n%s\n\n", head, comment(out.Comment, ""), cli.Clean(running)))); err != nil {
		return err
	}
	return app.Print(nil, func(t *cli.Table) {
		t.Header("METHOD", "PATTERN", "KIND", "REQUEST", "RESPONSE", "DOES")
		for _, m := range out.Methods {
			t.Row(cli.Styled{Text: m.Method, Colour: cli.Bold}, m.Pattern, m.Kind, m.Request, m.Response, firstSentence(m.Comment))
		}
	})
}

func methodOf(m *aegisreflect.Method) (Method, error) {
	d := m.Descriptor()
	out := Method{
		Method: m.Name(), Pattern: m.Pattern().String(), Kind: kindOf(m), Request: string(d.Input().FullName()),
		Response: string(d.Output().FullName()), Group: m.Group(), Durable: m.Durable(), Comment: aegisreflect.Comment(d),
		Template: sample.JSON(d.Input()),
	}
	if m.Timeout() > 0 {
		out.Timeout = m.Timeout().String()
	}
	if o, ok := d.Options().(*descriptorpb.MethodOptions); ok && o.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
		out.Idempotency = o.GetIdempotencyLevel().String()
	}
	if options := m.Options(); options != nil && proto.Size(options) > 0 {
		text, err := protojson.Marshal(options)
		if err != nil {
			return Method{}, fmt.Errorf("the options of %s: %w", m.FullName(), err)
		}
		out.Options = text
	}
	return out, nil
}

func kindOf(m *aegisreflect.Method) string {
	d := m.Descriptor()
	switch {
	case d.IsStreamingClient() && d.IsStreamingServer():
		return "bidi stream"
	case d.IsStreamingClient():
		return "client stream"
	case d.IsStreamingServer():
		return "server stream"
	default:
		return "unary"
	}
}

func describeMethod(app *cli.App, m *aegisreflect.Method) error {
	out, err := methodOf(m)
	if err != nil {
		return err
	}
	if app.JSON() {
		return app.PrintJSON(out)
	}
	facts := []string{out.Pattern, out.Kind}
	for _, f := range []struct{ name, value string }{
		{"group ", out.Group}, {"timeout ", out.Timeout}, {"", strings.ToLower(strings.ReplaceAll(out.Idempotency, "_", " "))},
	} {
		if f.value != "" {
			facts = append(facts, f.name+f.value)
		}
	}
	if out.Durable {
		facts = append(facts, "durable")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n%s", app.Style.Paint(cli.Bold, m.FullName()), strings.Join(facts, ", "), comment(out.Comment, ""))
	if out.Options != nil {
		fmt.Fprintf(&b, "\noptions   %s\n", cli.Clean(string(out.Options)))
	}
	d := m.Descriptor()
	fmt.Fprintf(&b, "\nrequest   %s\n%s", out.Request, shape(app, d.Input()))
	fmt.Fprintf(&b, "\nresponse  %s\n%s", out.Response, shape(app, d.Output()))
	fmt.Fprintf(&b, "\n  %s\n", methods.Invocation(d, spec.Pattern(m.Pattern()), ""))
	return app.Printf("%s", app.Fit(b.String()))
}

// comment returns the comment of a declaration, indented, with a line end before it.
func comment(text, indent string) string {
	if text == "" {
		return ""
	}
	return "\n" + indent + strings.ReplaceAll(cli.Clean(text), "\n", "\n"+indent) + "\n"
}

// firstSentence returns the first sentence of a comment in one line.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if i := strings.Index(text, ". "); i > 0 {
		return text[:i+1]
	}
	return text
}
