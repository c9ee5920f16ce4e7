package aegisenv

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// reference splits the reference to a secret: a scheme in lower case, "" for anything else
// than the schemes of the nats tool, and what follows it.
func reference(text string) (scheme, rest string) {
	for _, prefix := range []string{"file://", "env://", "data:", "nsc://", "op://"} {
		if len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
			return strings.TrimRight(prefix, ":/"), text[len(prefix):]
		}
	}
	return "", text
}

// secret returns the secret that a reference leads to. Its error has no part of it.
func secret(ctx context.Context, scheme, rest string) ([]byte, error) {
	switch scheme {
	case "file":
		return readFile(expand(rest))
	case "env":
		if value := os.Getenv(rest); value != "" {
			return []byte(value), nil
		}
		return nil, fmt.Errorf("the variable %s is not set", rest)
	case "data":
		header, payload, ok := strings.Cut(rest, ",")
		if !ok || !strings.HasSuffix(strings.ToLower(header), ";base64") {
			return nil, errors.New("a data: reference has the form data:;base64,TEXT")
		}
		value, err := base64.StdEncoding.DecodeString(payload)
		if err != nil {
			return nil, errors.New("the text of the data: reference is no base64")
		}
		return value, nil
	case "nsc":
		profile, err := nscProfile(ctx, rest)
		if err != nil {
			return nil, err
		}
		return readFile(profile.UserCreds)
	case "op":
		return run(ctx, "op", "read", "op://"+rest)
	}
	return nil, fmt.Errorf("unknown scheme %s", scheme)
}

// literal returns a secret that is given as it is, or by a reference to it.
func (s *Settings) literal(ctx context.Context, key string) (string, error) {
	text := *s.at(key)
	scheme, rest := reference(text)
	if scheme == "" {
		return text, nil
	}
	value, err := secret(ctx, scheme, rest)
	if err != nil {
		return "", invalidf("%s: %w", s.source(key), err)
	}
	return strings.TrimRight(string(value), "\r\n"), nil
}

// readFile reads a file. Its error names the file, unless a secret was given in place of
// the name.
func readFile(path string) ([]byte, error) {
	if looksSecret(path) {
		return nil, errors.New("a secret is given where the name of a file belongs; put the secret into a file")
	}
	text, err := os.ReadFile(path) //nolint:gosec // the user names it
	if err == nil {
		return text, nil
	}
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		err = cause.Err
	}
	return nil, fmt.Errorf("the file %s cannot be read: %w", path, err)
}

// secretText matches the seed of an nkey, a JWT and what is around them in files.
var secretText = regexp.MustCompile(`\bS[UANOCPX][A-Z2-7]{56}\b|\beyJ[A-Za-z0-9_-]{10,}|-----BEGIN|\n`)

// looksSecret tells whether a text that ought to be the name of a file is a secret.
func looksSecret(text string) bool { return secretText.MatchString(text) }

// profile is the part of the output of nsc that a connection needs.
type profile struct {
	UserCreds string `json:"user_creds"`
	Operator  struct {
		Service []string `json:"service"`
	} `json:"operator"`
}

// nscProfile asks the program nsc for the user of an address, OPERATOR/ACCOUNT/USER.
func nscProfile(ctx context.Context, address string) (profile, error) {
	_, rest := reference(address)
	out, err := run(ctx, "nsc", "generate", "profile", "nsc://"+rest)
	if err != nil {
		return profile{}, err
	}
	var p profile
	if err := json.Unmarshal(out, &p); err != nil {
		return profile{}, errors.New("the output of the program nsc is no JSON") // it may have secrets
	}
	if p.UserCreds == "" {
		return profile{}, fmt.Errorf("the program nsc names no credentials for nsc://%s", rest)
	}
	return p, nil
}

// run returns the output of a program.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // nsc or op
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case told.Len() > 0:
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, strings.TrimSpace(told.String()))
	}
	return nil, fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
}
