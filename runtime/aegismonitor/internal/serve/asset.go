package serve

import (
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"sync"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/live"
)

// index is the file that is served at the root.
const index = "index.html"

// kinds are the types of files by their ends, which those that a machine has installed could
// change.
var kinds = map[string]string{ //nolint:gochecknoglobals // a table
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".css":   "text/css; charset=utf-8",
	".svg":   "image/svg+xml",
	".txt":   typeText,
	".woff2": "font/woff2",
}

// asset is a file of the page.
type asset struct{ content }

// readAssets reads the files of the page, by their addresses below the mount point.
func readAssets(files fs.FS) (map[string]*asset, error) {
	assets := make(map[string]*asset)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		kind := kinds[path.Ext(name)]
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(name))
		}
		at := name
		if name == index {
			at = "{$}"
		}
		assets[at] = &asset{content{
			kind: kind, data: data, tag: live.TagOf(data),
			gzip: sync.OnceValue(func() []byte { return live.Compress(data) }),
		}}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the files of the page cannot be read: %w", err)
	}
	return assets, nil
}

// handle answers with the file. Browsers ask again whether it is the same each time, so that
// they never mix files of two versions.
func (a *asset) handle(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-cache")
	a.write(w, r)
	return nil
}
