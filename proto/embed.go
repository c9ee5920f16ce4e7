// Package protos holds the .proto files of Aegis, for tools that hand them out.
package protos

import "embed"

// Files holds aegis/v1/*.proto.
//
//go:embed aegis/v1/*.proto
var Files embed.FS
