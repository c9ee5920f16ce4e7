// Package page has the web page of the monitor: the files in dist, which its sources in src
// are built to by "make page".
package page

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Files returns the files of the page, index.html at their root. They ask only for files
// beside them and for the API below them, so they can be served under any path.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) //nolint:forbidigo // "dist" is a valid path, so there is no error
	}

	return files
}
