// Package metadata writes the metadata of a request or a response into the header of a
// NATS message, beside the headers of the transport, and reads it from there.
package metadata

import (
	"encoding/base64"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// binarySuffix ends the keys whose values may be any bytes, and travel as base64.
const binarySuffix = "-bin"

// Encode checks metadata and adds it to a header.
func Encode(metadata map[string][]string, out nats.Header) *status.Status {
	size := 0
	for key, values := range metadata {
		if err := checkKey(key); err != nil {
			return err
		}
		for _, v := range values {
			if strings.HasSuffix(key, binarySuffix) {
				v = base64.StdEncoding.EncodeToString([]byte(v))
			} else if !ValidValue(v) {
				return status.New(status.InvalidArgument, "metadata "+status.Quote(key)+": the value "+status.Quote(v)+
					" has a control character or white space at an end; use a key that ends in -bin for such values")
			}
			size += len(key) + len(v)
			out[key] = append(out[key], v)
		}
	}
	return CheckSize(size)
}

// CheckSize returns the status for metadata that takes too many bytes, or nil.
func CheckSize(bytes int) *status.Status {
	if bytes <= wire.MaxMetadataBytes {
		return nil
	}
	return status.Newf(status.InvalidArgument, "the metadata takes %d bytes, at most %d are allowed", bytes, wire.MaxMetadataBytes)
}

func checkKey(key string) *status.Status {
	if key == "" {
		return status.New(status.InvalidArgument, "metadata: a key is empty")
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return status.New(status.InvalidArgument, "metadata: the key "+status.Quote(key)+" has characters other than a-z 0-9 - _ .")
		}
	}
	if Reserved(key) {
		return status.New(status.InvalidArgument, "metadata: the key "+status.Quote(key)+" is reserved for the transport")
	}
	return nil
}

// Reserved reports whether a key, in any case, is one of the transport's.
func Reserved(key string) bool {
	return wire.HasPrefixFold(key, "nats-") || wire.HasPrefixFold(key, "aegis-") || strings.EqualFold(key, wire.HeaderContentType)
}

// ValidValue reports whether a value can travel as it is.
func ValidValue(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
			return false
		}
	}
	return strings.TrimSpace(v) == v
}

// Decode returns the metadata in a header, with keys in lower case. A binary value that
// is not base64 is an error.
func Decode(in nats.Header) (map[string][]string, *status.Status) {
	metadata := make(map[string][]string, len(in))
	for key, values := range in {
		if Reserved(key) {
			continue
		}
		key = strings.ToLower(key)
		for _, v := range values {
			if strings.HasSuffix(key, binarySuffix) {
				b, err := base64.StdEncoding.DecodeString(v)
				if err != nil {
					return nil, status.New(status.InvalidArgument, "metadata "+status.Quote(key)+": the value is not base64")
				}
				v = string(b)
			}
			metadata[key] = append(metadata[key], v)
		}
	}
	return metadata, nil
}
