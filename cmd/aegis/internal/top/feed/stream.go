package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// streamType is the media type of server-sent events.
const streamType = "text/event-stream"

// largestLine bounds a line of a stream, and so a document.
const largestLine = 32 << 20

// errEnded is the error of a stream that the monitor has ended.
var errEnded = errors.New("the monitor has ended the stream")

// readStream reads server-sent events until the stream ends, and returns why it has. It calls
// alive for each line, and document with the data of each event of that name. The data are
// valid during the call.
func readStream(stream io.Reader, alive func(), document func(data []byte) bool) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 0, 64<<10), largestLine)
	var event string
	var data []byte
	for lines.Scan() {
		alive()
		line := lines.Bytes()
		if len(line) == 0 {
			if event == "document" && len(data) > 0 && !document(data) {
				return nil
			}
			event, data = "", data[:0]
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			if len(data) > 0 {
				data = append(data, '\n')
			}
			if data = append(data, value...); len(data) > largestLine {
				return fmt.Errorf("a document of the monitor has more than %d bytes", largestLine)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the stream of the monitor: %w", err)
	}
	return errEnded
}
