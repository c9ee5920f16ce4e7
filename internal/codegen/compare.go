package codegen

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/aegisrpc/aegis/internal/spec"
)

// comparison compares a service of before with the same service now.
type comparison struct {
	was, is *spec.Service
	found   *mistakes
}

// changed adds a change at the place of the new value: of names the method or option that
// has changed, and why says what the change breaks.
func (c *comparison) changed(at spec.Place, of string, was, is any, why string) {
	c.found.add(at.Problem("%s was %v and is %v: %s", of, was, is, why))
}

// compare adds the changes of the service and all its methods.
func (c *comparison) compare() {
	for _, was := range c.was.Methods {
		is := c.is.Method(was.Name)
		switch {
		case is == nil:
			c.found.add(spec.At(c.is.Desc).Problem("the method %s was here, %s, and is gone: %s", was.Name, describePattern(was), whenGone(was)))
		case described(was) != described(is):
			c.changed(is.PatternPlace, is.Name, describePattern(was), describePattern(is), whenChanged(was, is))
		default:
			c.method(was, is)
		}
	}
	c.storage()
}

// described returns the part of a method that decides which servers or subscribers get its
// messages.
func described(m *spec.Method) string { return describePattern(m) + m.Group }

// describePattern returns the pattern of a method and its group, as sentences name them.
func describePattern(m *spec.Method) string {
	text := m.Pattern.String()
	switch {
	case m.Event != nil && m.Event.Durable:
		return "a durable event"
	case m.Event != nil:
		return "a core event"
	case m.Command != nil && m.Group != "":
		text = "single active command"
	}
	if m.Group != "" {
		text += " in the group " + m.Group
	}
	return text
}

// stored reports whether the messages of a method are stored until they are handled.
func stored(m *spec.Method) bool { return m.Command != nil || m.Event != nil && m.Event.Durable }

// whenGone says what happens to the messages of a method that is gone.
func whenGone(m *spec.Method) string {
	switch {
	case m.Command != nil:
		return "commands that wait are never worked, and their callers wait for ever; keep it until its queue is empty and nobody sends it"
	case m.Event != nil && m.Event.Durable:
		return "events that are stored are not handled any more, and their consumers stay; keep it until nobody publishes it and all groups have handled theirs"
	case m.Event != nil:
		return "who still publishes it reaches nobody; keep it until nobody does"
	default:
		return "who still calls it finds nobody; keep it until nobody does"
	}
}

// whenChanged says what happens between the two versions of a method whose pattern or
// group has changed.
func whenChanged(was, is *spec.Method) string {
	const another = "add a method of another name, move its users, and remove this one when nobody uses it"
	switch {
	case was.Command != nil && is.Command != nil && was.Group != "" && is.Group != "":
		return "while both versions run two leaders work the same queue; stop the old workers before the new ones start"
	case was.Command != nil && is.Command != nil:
		return "while both versions run workers and a leader work the same queue, and the consumers that exist do not fit; " + another
	case was.Pattern == spec.SingleActive && is.Pattern == spec.SingleActive:
		return "callers of before look for the leader of another group, and while both versions run there are two leaders; " + another
	case stored(was):
		return "what is stored is not handled any more, and what the other version sends is lost or waits for ever, in silence; " + another
	case stored(is) || was.Event != nil:
		return "what one version sends does not reach the other, in silence; " + another
	default:
		return "callers of one version do not reach servers of the other; " + another
	}
}

// method compares the options of a method whose pattern and group are the same.
func (c *comparison) method(was, is *spec.Method) {
	at := spec.AtOptions(is.Desc)
	if a, b := streams(was), streams(is); a != b {
		c.changed(spec.At(is.Desc), is.Name, a, b, "clients and servers of the two versions do not understand each other; add a method of another name")
	}
	if was.Idempotent && !is.Idempotent {
		c.changed(spec.At(is.Desc), is.Name, "idempotent", "not idempotent",
			"clients of before go on to send calls again whose outcome they do not know; update all clients before the handler relies on it")
	}
	switch {
	case is.MaxMessageBytes < was.MaxMessageBytes:
		c.changed(at.Field("max_message_bytes"), "that of "+is.Name, was.MaxMessageBytes, bytesOrNone(is.MaxMessageBytes),
			"messages above it, which the other version sends, are refused; lower it when nobody sends any")
	case was.MaxMessageBytes == 0 && is.MaxMessageBytes > 0:
		c.changed(at.Field("max_message_bytes"), "that of "+is.Name, "not set", is.MaxMessageBytes,
			"servers of before do not take messages in parts; update all servers before the first client, or add a method of another name")
	}
	if was.Event != nil {
		c.event(was, is, at.Field("event"))
	}
}

func streams(m *spec.Method) string {
	switch {
	case m.Desc.IsStreamingClient() && m.Desc.IsStreamingServer():
		return "a stream both ways"
	case m.Desc.IsStreamingClient():
		return "a stream of requests"
	case m.Desc.IsStreamingServer():
		return "a stream of responses"
	default:
		return "unary"
	}
}

func bytesOrNone(n int) any {
	if n == 0 {
		return "not set"
	}
	return n
}

// event compares the options of an event.
func (c *comparison) event(was, is *spec.Method, at spec.Place) {
	const begins = "subscribers that do not choose for themselves get another consumer, which begins with new events, " +
		"and what the old one has not handled stays; have subscribers say aegis.Compete or aegis.EachInstance themselves, as they do now"
	if a, b := modeOf(was.Event), modeOf(is.Event); a != b {
		c.changed(at, is.Name, a, b, begins)
	}
	a, b := keyPath(was.Event.KeyField), keyPath(is.Event.KeyField)
	if a != b {
		c.changed(at.Field("key_field"), "that of "+is.Name, a, b, "events of one key go to other partitions than those that are stored, "+
			"and those of one instance to consumers that the other does not have: their order is lost; add an event of another name")
	}
}

func modeOf(e *spec.EventSpec) string {
	switch {
	case e.EachInstance:
		return "for each instance"
	case e.Group != "":
		return "competed for in the group " + e.Group
	default:
		return "competed for in the subscriber's own group"
	}
}

func keyPath(fields []protoreflect.FieldDescriptor) string {
	if len(fields) == 0 {
		return "no key"
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f.Name())
	}
	return fmt.Sprintf("%q", strings.Join(names, "."))
}

// storage compares the options that decide how long events are kept.
func (c *comparison) storage() {
	was, is := c.was.EventStorage, c.is.EventStorage
	if was == nil || is == nil {
		return
	}
	at := spec.AtOptions(c.is.Desc).Field("event_storage")
	if is.MaxAge != 0 && (was.MaxAge == 0 || is.MaxAge < was.MaxAge) {
		c.changed(at.Field("max_age"), "it", ageOf(was.MaxAge), ageOf(is.MaxAge),
			"events that nobody has handled by then are dropped once the stream is updated (Storage.Update); let all groups catch up first")
	}
	if is.MaxBytes != 0 && (was.MaxBytes == 0 || is.MaxBytes < was.MaxBytes) {
		c.changed(at.Field("max_bytes"), "it", bytesOrNone(int(was.MaxBytes)), is.MaxBytes,
			"a stream that holds more refuses events once it is updated (Storage.Update); look at its size first")
	}
}

func ageOf(d time.Duration) any {
	if d == 0 {
		return "no limit"
	}
	return d
}
