//nolint:goconst // it is written down as the document reads
package main

import (
	"reflect"
	"strings"

	"github.com/aegisrpc/aegis/internal/monitorapi"
)

const about = "What a monitor of Aegis shows and does. Each live document comes once as application/json, and with " +
	"\"Accept: text/event-stream\" again whenever it has changed: each event is named \"document\", has the revision as " +
	"its id and the whole document as its data. A figure that is not known is null, and never 0 in its place. All addresses that " +
	"take GET take HEAD. What is not written down as optional is always there."

// newDocument makes the whole document.
func newDocument(c *comments) object {
	s := &schemas{comments: c, named: object{}}
	paths := object{}
	for i := range operations {
		o := &operations[i]
		item, ok := paths[o.path].(object)
		if !ok {
			item = object{}
			paths[o.path] = item
		}
		item[o.method] = o.object(s)
	}
	problem := s.of(reflect.TypeFor[monitorapi.Problem](), false)
	return object{
		"openapi": "3.0.3",
		"info":    object{"title": "Monitor of Aegis", "version": "1", "description": about, "license": object{"name": "Apache-2.0"}},
		// The document is two steps below the path that the monitor is mounted under.
		"servers": []object{{"url": "../.."}},
		"paths":   paths,
		"components": object{
			"schemas": s.named,
			"responses": object{"Problem": object{
				"description": "An error.", "content": object{"application/problem+json": object{"schema": problem}},
			}},
			"securitySchemes": object{
				"token":    object{"type": "http", "scheme": "bearer"},
				"password": object{"type": "http", "scheme": "basic"},
			},
		},
		"security": []object{{}, {"token": []string{}}, {"password": []string{}}},
	}
}

func (o *operation) object(s *schemas) object {
	responses := object{"default": ref("responses", "Problem"), "200": o.success(s)}
	for status, text := range o.problems {
		responses[status] = problem(text)
	}
	if !o.open {
		responses["401"] = problem("A token or a password is needed.")
	}
	if o.live || o.id == "getDescription" {
		responses["304"] = object{"description": "It says the same as the one that the client has, by If-None-Match."}
	}
	if o.live {
		responses["503"] = problem(tooManyStreams)
	}
	x := object{"operationId": o.id, "summary": o.summary, "responses": responses}
	if o.details != "" {
		x["description"] = o.details
	}
	if o.open {
		x["security"] = []object{}
	}
	if p := o.parameters(); len(p) > 0 {
		x["parameters"] = p
	}
	if o.body != nil {
		x["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": s.of(o.body, true)}}}
	}
	return x
}

const tooManyStreams = "Too many streams are open; see Retry-After."

func problem(text string) object {
	return object{"description": text, "content": object{"application/problem+json": object{"schema": ref("schemas", "Problem")}}}
}

// success returns the answer that is no problem.
func (o *operation) success(s *schemas) object {
	content := object{}
	switch {
	case o.answer != nil:
		content["application/json"] = object{"schema": s.of(o.answer, false)}
	case o.kind == "application/json":
		content[o.kind] = object{"schema": object{"type": "object"}}
	default:
		content[o.kind] = object{"schema": object{"type": "string"}}
	}
	if o.live {
		content["text/event-stream"] = object{"schema": object{"type": "string"}}
	}
	return object{"description": "As asked for.", "content": content}
}

func (o *operation) parameters() []object {
	var list []object
	for segment := range strings.SplitSeq(o.path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			p := inPath[strings.TrimSuffix(name, "}")]
			list = append(list, object{"name": p.name, "in": "path", "required": true, "description": p.text, "schema": p.schema})
		}
	}
	for _, p := range o.query {
		list = append(list, object{"name": p.name, "in": "query", "required": p.required, "description": p.text, "schema": p.schema})
	}
	return list
}
