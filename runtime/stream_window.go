package aegis

import "github.com/aegisrpc/aegis/runtime/internal/rpcstream/flow"

// chunkWindow is the window of bytes for methods whose messages may be large.
const chunkWindow = 8 << 20

// windowFor is a window for a method whose messages may have so many bytes.
func windowFor(w flow.Window, maxMessage int) flow.Window {
	if maxMessage > 0 && w == defaultWindow() {
		w.Bytes = chunkWindow
	}
	return w
}
