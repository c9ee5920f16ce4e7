package lintoptions

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
)

// repository is a commit of a git repository, and the directory in it that is looked at.
type repository struct {
	dir    string // where git runs
	commit string
	prefix string // of the directory, relative to the top, with slashes; "" is the top
}

// blob is a file of a commit.
type blob struct {
	path, id string
	link     bool // its content is the target of a symbolic link
}

// findRepository finds the repository that a directory is in, and a commit of it.
func findRepository(ctx context.Context, ref, dir string) (*repository, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, errors.New("git is needed to read it, and is not in PATH")
	}
	r := &repository{dir: dir}
	prefix, err := r.git(ctx, nil, "rev-parse", "--show-prefix")
	if err != nil {
		return nil, err
	}
	r.prefix = strings.TrimSuffix(strings.TrimSpace(string(prefix)), "/")
	commit, err := r.git(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return nil, errors.New("the repository has no such branch, tag or commit")
	}
	r.commit = strings.TrimSpace(string(commit))
	return r, nil
}

// git runs git with this input, and returns its output.
func (r *repository) git(ctx context.Context, input io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // a ref is behind --end-of-options
	cmd.Dir, cmd.Stdin = r.dir, input
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = errors.New(text)
		}
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out, nil
}

// extract writes the .proto files of the commit, and what says how they belong together,
// below a directory. It asks git for the objects, as an archive may leave files out.
func (r *repository) extract(ctx context.Context, dir string) error {
	listing, err := r.git(ctx, nil, "ls-tree", "-r", "-z", "--full-tree", r.commit)
	if err != nil {
		return err
	}
	blobs := wanted(listing)
	var ids bytes.Buffer
	for _, b := range blobs {
		ids.WriteString(b.id + "\n")
	}
	objects, err := r.git(ctx, &ids, "cat-file", "--batch")
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	in := bufio.NewReader(bytes.NewReader(objects))
	for _, b := range blobs {
		content, err := object(in)
		if err == nil {
			err = write(root, b, content)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", b.path, err), root.Close())
		}
	}
	return root.Close()
}

// wanted returns the files of a listing of `git ls-tree -z` that matter for compiling. A
// symbolic link may lead to a directory with such files.
func wanted(listing []byte) []blob {
	var blobs []blob
	for entry := range strings.SplitSeq(string(listing), "\x00") {
		about, name, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(about) // mode, type, id
		if !ok || len(fields) != 3 || fields[1] != "blob" {
			continue
		}
		link := fields[0] == "120000"
		base := path.Base(name)
		if link || path.Ext(name) == ".proto" || base == bufconfig.BufYAML || base == bufconfig.BufWork {
			blobs = append(blobs, blob{path: name, id: fields[2], link: link})
		}
	}
	return blobs
}

// object reads one object of the output of `git cat-file --batch`.
func object(in *bufio.Reader) ([]byte, error) {
	head, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(head) // id, type, size
	if len(fields) != 3 {
		return nil, fmt.Errorf("git has not got it: %s", strings.TrimSpace(head))
	}
	size, err := strconv.Atoi(fields[2])
	if err != nil {
		return nil, err
	}
	content := make([]byte, size+1) // and a line end
	if _, err := io.ReadFull(in, content); err != nil {
		return nil, err
	}
	return content[:size], nil
}

// write writes a file below a directory, which it cannot leave.
func write(root *os.Root, b blob, content []byte) error {
	name := filepath.FromSlash(b.path)
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if b.link {
		return root.Symlink(string(content), name)
	}
	return root.WriteFile(name, content, 0o600)
}
