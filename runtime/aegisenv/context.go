package aegisenv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
)

// readContext reads a NATS context, as the nats tool keeps it: a JSON file named after the
// context. The name may be that of any file that ends in .json, too. The source says where
// the name came from.
func readContext(ctx context.Context, name, source string) (place, error) {
	path, err := contextPath(name)
	if err != nil {
		return place{}, invalidf("%s: %w", source, err)
	}
	text, err := os.ReadFile(path) //nolint:gosec // the user names it
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place{}, invalidf("%s: there is no NATS context %q: %w", source, name, missing(path))
	case err != nil:
		return place{}, invalidf("%s: the NATS context %q cannot be read: %w", source, name, err)
	}
	p := place{values: map[string]string{}, file: true, source: func(each setting) string {
		return fmt.Sprintf("%s of the NATS context %s", each.key, path)
	}}
	if err := p.parse(ctx, text); err != nil {
		return place{}, invalidf("%s: the NATS context %s: %w", source, path, err)
	}
	return p, nil
}

// missing says which contexts there are in place of one that is missing.
func missing(path string) error {
	dir := filepath.Dir(path)
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if len(files) == 0 {
		return fmt.Errorf("%s does not exist, and %s has no others", path, dir)
	}
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	slices.Sort(names)
	return fmt.Errorf("%s does not exist; there are: %s", path, strings.Join(names, ", "))
}

// contextPath returns the file of a context.
func contextPath(name string) (string, error) {
	if strings.HasSuffix(name, ".json") {
		if _, err := os.Stat(name); err == nil || strings.ContainsAny(name, `/\`) {
			return name, nil
		}
	}
	if strings.Contains(name, "..") || strings.ContainsAny(name, `/\`) {
		return "", fmt.Errorf("%q is no name of a NATS context: it has no slashes and no \"..\", unless it is a file that ends in .json", name)
	}
	dir, err := configDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "nats", "context", name+".json"), nil
}

// selectedContext returns the name of the selected context, "" if there is none, and the
// file that has the name.
func selectedContext() (name, where string) {
	dir, err := configDir()
	if err != nil {
		return "", ""
	}
	where = filepath.Join(dir, "nats", "context.txt")
	text, err := os.ReadFile(where) //nolint:gosec // below the folder of the user
	if err != nil {
		return "", ""
	}
	return strings.TrimSpace(string(text)), where
}

// configDir is the folder below which the nats tool has its own.
func configDir() (string, error) {
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return dir, nil
	}
	home := ""
	if u, err := user.Current(); err == nil {
		home = u.HomeDir
	}
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", fmt.Errorf("the folder of the NATS contexts is unknown, set XDG_CONFIG_HOME: %w", err)
		}
	}
	return filepath.Join(home, ".config"), nil
}

// parse takes the settings of a context's file. Keys that a connection does not need, such
// as the colours of the nats tool, and unknown ones are skipped.
func (p *place) parse(ctx context.Context, text []byte) error {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("it is no JSON object: %w", err)
	}
	for _, each := range settings() {
		if each.key == keyContext || each.key == keyNamespace {
			continue
		}
		value, err := stringOf(file, each.key)
		if err != nil {
			return err
		}
		p.values[each.key] = value
	}
	for _, key := range []string{keyCreds, keyNKey, keyCert, keyKey, keyCA} {
		p.values[key] = expand(p.values[key])
	}
	if raw, ok := file["tls_first"]; ok {
		if err := json.Unmarshal(raw, &p.tlsFirst); err != nil {
			return errors.New("tls_first is neither true nor false")
		}
	}
	store, err := stringOf(file, "windows_cert_store")
	if err != nil {
		return err
	}
	if store != "" {
		return errors.New("windows_cert_store is not supported; use cert, key and ca, with files")
	}
	return p.askNSC(ctx, file)
}

// stringOf returns the text under a key, "" if there is none.
func stringOf(file map[string]json.RawMessage, key string) (string, error) {
	raw, ok := file[key]
	if !ok || bytes.Equal(raw, []byte("null")) {
		return "", nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", fmt.Errorf("%s is no string", key) // the value may be a secret
	}
	return text, nil
}

// askNSC takes credentials and servers from the program nsc, where an older context says
// so. A newer one has the address as its creds.
func (p *place) askNSC(ctx context.Context, file map[string]json.RawMessage) error {
	address, err := stringOf(file, "nsc")
	if err != nil || address == "" {
		return err
	}
	profile, err := nscProfile(ctx, address)
	if err != nil {
		return fmt.Errorf("nsc: %w", err)
	}
	if !p.has(keyCreds) {
		p.values[keyCreds] = profile.UserCreds
	}
	if !p.has(keyURL) {
		p.values[keyURL] = strings.Join(profile.Operator.Service, ",")
	}
	return nil
}

// expand puts variables and the home folder into a path of a context, as the nats tool
// does. On a command line a shell does that.
func expand(path string) string {
	path = os.ExpandEnv(path)
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return home + path[1:]
}
