package lintoptions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/protoset"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/workspace"
)

// imageOf returns the image that --against names: that of a file, of a directory, or of the
// input as a git ref has it.
func imageOf(ctx context.Context, against, input string) ([]byte, error) {
	info, err := os.Stat(against)
	switch {
	case err == nil && info.IsDir():
		w, err := workspace.Open(against, "")
		if err != nil {
			return nil, fmt.Errorf("--against %s: %w", against, err)
		}
		return compiled(ctx, w)
	case err == nil:
		return os.ReadFile(against) //nolint:gosec // the user names it
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("--against %s: %w", against, err)
	}
	return imageOfRef(ctx, against, input)
}

// imageOfRef compiles the input as a git ref has it.
func imageOfRef(ctx context.Context, ref, input string) (_ []byte, err error) {
	r, err := findRepository(ctx, ref, input)
	if err != nil {
		return nil, fmt.Errorf("--against %s: there is no file or directory of that name; as a git ref: %w", ref, err)
	}
	dir, err := os.MkdirTemp("", "aegis-lint-options-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := r.extract(ctx, dir); err != nil {
		return nil, fmt.Errorf("--against %s: read the files of the commit: %w", ref, err)
	}
	below := filepath.Join(dir, filepath.FromSlash(r.prefix))
	if _, err := os.Stat(below); err != nil {
		return nil, fmt.Errorf("--against %s: that commit has no .proto files in %s", ref, filepath.FromSlash(r.prefix))
	}
	w, err := workspace.Open(below, "")
	if err != nil {
		return nil, fmt.Errorf("--against %s: %w", ref, err)
	}
	w.DisplayBelow(dir, ref+":")
	return compiled(ctx, w)
}

// compiled returns the image of a workspace.
func compiled(ctx context.Context, w *workspace.Workspace) ([]byte, error) {
	files, err := w.Select(nil, nil)
	if err != nil {
		return nil, err
	}
	set, err := protoset.Compile(ctx, w, files)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(set.Image())
}
