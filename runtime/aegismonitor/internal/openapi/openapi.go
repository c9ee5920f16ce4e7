// Package openapi has the OpenAPI document of the monitor's HTTP API, which is generated of
// the types of package monitorapi.
package openapi

import _ "embed"

//go:generate go run ./gen

// Document is the document. It must not be changed.
//
//go:embed openapi.json
var Document []byte
