//nolint:goconst,lll // it is written down as the document reads
package main

import (
	"reflect"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// operation is what one route does.
type operation struct {
	method, path string
	id           string
	summary      string
	details      string
	query        []parameter
	body         reflect.Type // nil for none
	answer       reflect.Type // of the status 200; nil for text
	kind         string       // of a text
	live         bool         // it is a live document
	open         bool         // it answers everybody
	problems     map[string]string
}

// parameter is one in the path or the query of an address.
type parameter struct {
	name, text string
	schema     object
	required   bool
}

func text(pattern string, most int) object {
	schema := object{"type": "string", "maxLength": most}
	if pattern != "" {
		schema["pattern"] = pattern
	}
	return schema
}

func number(least, most int64) object {
	return object{"type": "integer", "minimum": least, "maximum": most}
}

// inPath are the parameters in paths.
var inPath = map[string]parameter{
	"service": {name: "service", text: "The full name of a service, such as order.v1.OrderService.", schema: text(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$`, 255)},
	"method":  {name: "method", text: "The name of a method, without its service.", schema: text(`^[A-Za-z0-9_]+$`, 200)},
	"id":      {name: "id", text: "The id of a command, in two parts.", schema: text(`^[A-Za-z0-9]+\.[A-Za-z0-9]+$`, 129)},
}

const (
	allowedBy = "The monitor does not allow it; the detail names the option that does."
)

var actProblems = map[string]string{
	"403": allowedBy,
	"409": "There are more letters than the user was told of, and nothing was done; or what NATS holds does not allow it.",
	"413": "The body is too large.",
	"415": "The body is not application/json.",
}

// operations are all of them, in the order of the document.
var operations = []operation{
	{
		method: "get", path: "/api/v1/overview", id: "getOverview", summary: "All services at a glance",
		answer: reflect.TypeFor[monitorapi.Overview](), live: true,
	},
	{
		method: "get", path: "/api/v1/services/{service}", id: "getService", summary: "One service in detail",
		details: "A service that is not known has found false.",
		answer:  reflect.TypeFor[monitorapi.ServiceDetail](), live: true,
	},
	{
		method: "get", path: "/api/v1/services/{service}/history", id: "getHistory", summary: "The figures of the last hour",
		query: []parameter{
			{name: "method", text: "The name of a method, for its figures alone.", schema: text("", 4096)},
			{name: "instance", text: "The name of an instance, for its figures alone.", schema: text("", 4096)},
			{name: "since", text: "The time of the first step in Unix seconds, at most an hour ago.", schema: number(0, 1<<40)},
		},
		answer: reflect.TypeFor[monitorapi.History](), problems: map[string]string{"404": "Nothing is known of it."},
	},
	{
		method: "get", path: "/api/v1/services/{service}/methods/{method}", id: "getMethodForm", summary: "What a form needs to call a method",
		answer: reflect.TypeFor[monitorapi.MethodForm](), problems: map[string]string{"403": allowedBy, "404": "There is no such method, or nobody tells its descriptors."},
	},
	{
		method: "post", path: "/api/v1/services/{service}/methods/{method}/call", id: "callMethod", summary: "Call a method, send a command or publish an event",
		details: "An error of the call itself is its outcome, with status 200. Streams cannot be called.",
		body:    reflect.TypeFor[monitorapi.CallRequest](), answer: reflect.TypeFor[monitorapi.CallOutcome](),
		problems: map[string]string{"403": allowedBy, "404": "There is no such method, or nobody tells its descriptors.", "413": "The body is too large.", "415": "The body is not application/json."},
	},
	{
		method: "get", path: "/api/v1/leaders", id: "getLeaders", summary: "All groups with their leaders and gaps",
		answer: reflect.TypeFor[monitorapi.Leaders](), live: true,
	},
	{
		method: "get", path: "/api/v1/work", id: "getWork", summary: "All durable work",
		answer: reflect.TypeFor[monitorapi.Work](), live: true,
	},
	{
		method: "get", path: "/api/v1/activity", id: "getActivity", summary: "The events of the system",
		answer: reflect.TypeFor[monitorapi.Activity](), live: true,
	},
	{
		method: "get", path: "/api/v1/commands/{service}/{id}", id: "getCommand", summary: "One command by its id",
		answer: reflect.TypeFor[monitorapi.CommandDetail](), problems: map[string]string{"404": "There is no such command, or its result is kept no longer."},
	},
	{
		method: "get", path: "/api/v1/deadletters/{service}", id: "getDeadLetters", summary: "The dead letters of a service, a page at a time",
		query: []parameter{
			{name: "method", text: "The name of a method; all of them without it.", schema: text("", 200)},
			{name: "consumer", text: "The consumer that gave up events.", schema: text("", 4096)},
			{name: "reason", text: "The pattern of the reason, as a group of dead letters has it.", schema: text("", 4096)},
			{name: "after", text: "The sequence after which the page begins.", schema: number(0, 1<<62)},
			{name: "limit", text: "How many letters the page has at most, 50 unless given.", schema: number(1, 200)},
		},
		answer: reflect.TypeFor[monitorapi.Letters](),
	},
	{
		method: "post", path: "/api/v1/deadletters/{service}/putback", id: "putBackDeadLetters", summary: "Put dead letters back",
		details: "Each goes to where it was published. A letter is never put back twice, so the request can be repeated.",
		body:    reflect.TypeFor[monitorapi.LetterAction](), answer: reflect.TypeFor[monitorapi.LetterOutcome](), problems: actProblems,
	},
	{
		method: "post", path: "/api/v1/deadletters/{service}/delete", id: "deleteDeadLetters", summary: "Delete dead letters",
		body: reflect.TypeFor[monitorapi.LetterAction](), answer: reflect.TypeFor[monitorapi.LetterOutcome](), problems: actProblems,
	},
	{
		method: "get", path: "/api/v1/search", id: "search", summary: "Look for a text in all names",
		details: "A command is found by its whole id.",
		query:   []parameter{{name: "q", text: "The text, without regard to case.", schema: text("", 200)}},
		answer:  reflect.TypeFor[monitorapi.Results](),
	},
	{method: "get", path: "/api/v1/openapi.json", id: "getDescription", summary: "This document", kind: "application/json"},
	{method: "get", path: "/metrics", id: "getMetrics", summary: "Metrics for Prometheus", kind: "text/plain"},
	{method: "get", path: "/healthz", id: "getHealth", summary: "Whether the process answers", kind: "text/plain", open: true},
	{
		method: "get", path: "/readyz", id: "getReadiness", summary: "Whether there is something to show", kind: "text/plain", open: true,
		problems: map[string]string{"503": "Not ready; the detail says what is missing."},
	},
}
