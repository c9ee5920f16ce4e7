//nolint:goconst // it is written down as the document reads
package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// object is an object of JSON, whose keys are written in order.
type object = map[string]any

// schemas makes the schemas of types, each named one once.
type schemas struct {
	comments *comments
	// named are the schemas by the names of their types.
	named object
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// of returns the schema of a type. All fields are there in an answer; a request may leave
// some out.
func (s *schemas) of(t reflect.Type, request bool) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"nullable": true, "description": "any JSON"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		schema := s.of(t.Elem(), request)
		schema["nullable"] = true
		return schema
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem(), request)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem(), request)}
	case reflect.Struct:
		s.addStruct(t, request)
		return ref("schemas", t.Name())
	case reflect.String:
		if values := s.comments.values[t.Name()]; len(values) > 0 {
			s.named[t.Name()] = object{"type": "string", "enum": values, "description": s.comments.text[t.Name()]}
			return ref("schemas", t.Name())
		}
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	default:
		panic("no schema for " + t.String()) //nolint:forbidigo // a generator has nobody to tell
	}
}

func (s *schemas) addStruct(t reflect.Type, request bool) {
	if s.named[t.Name()] != nil {
		return
	}
	properties := object{}
	schema := object{
		"type": "object", "description": s.comments.text[t.Name()],
		"properties": properties, "additionalProperties": false,
	}
	s.named[t.Name()] = schema
	var required []string
	s.addFields(t, request, properties, &required)
	if !request {
		schema["required"] = required
	}
}

// addFields adds the fields of a struct, and those of the structs in it that have no name.
func (s *schemas) addFields(t reflect.Type, request bool, properties object, required *[]string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.addFields(f.Type, request, properties, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		}
		*required = append(*required, name)
		schema := s.of(f.Type, request)
		if text := s.comments.text[t.Name()+"."+f.Name]; text != "" {
			if schema["$ref"] != nil { // nothing may stand beside it
				schema = object{"allOf": []object{schema}}
			}
			schema["description"] = text
		}
		properties[name] = schema
	}
}
