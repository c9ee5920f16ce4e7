package aegis

import "github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"

const (
	// chunkWindow is the window of bytes for methods whose messages may be large.
	chunkWindow     = 8 << 20
	defaultAssembly = 256 << 20
)

// WithReassemblyLimit sets how many bytes of messages that come in parts (those
// of methods with max_message_bytes) a connection may hold at once, over all of
// its streams and calls; what exceeds it ends as CodeResourceExhausted. 1 byte to
// 2^40. Default 256 MiB.
func WithReassemblyLimit(bytes int64) ConnOption {
	return connOption(func(c *connConfig) error {
		if bytes < 1 || bytes > 1<<40 {
			return invalidOption("reassembly limit of %d bytes: use 1 to %d", bytes, int64(1)<<40)
		}
		c.assembly = bytes
		return nil
	})
}

// windowFor is a window for a method whose messages may have so many bytes.
func windowFor(w flow.Window, maxMessage int) flow.Window {
	if maxMessage > 0 && w == defaultWindow() {
		w.Bytes = chunkWindow
	}
	return w
}
