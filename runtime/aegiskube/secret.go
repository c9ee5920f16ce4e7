package aegiskube

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// readSecret returns the user that a Secret has, as NAME or NAME/KEY.
func (c *cluster) readSecret(ctx context.Context, text string) (aegisenv.Settings, error) {
	name, key, _ := strings.Cut(text, "/")
	var secret corev1.Secret
	err := c.core.Get().Namespace(c.namespace).Resource("secrets").Name(name).Do(ctx).Into(&secret)
	if isNotFound(err) {
		return aegisenv.Settings{}, noService("there is no Secret %s in the namespace %s of %s", name, c.namespace, c)
	}
	if err != nil {
		return aegisenv.Settings{}, c.explain(err, "get", "secrets")
	}
	user, ok := userOf(secret.Data, key)
	if !ok {
		return aegisenv.Settings{}, noService("the Secret %s in the namespace %s of %s has no credentials of NATS under %s; its keys are: %s",
			name, c.namespace, c, wanted(key), strings.Join(slices.Sorted(maps.Keys(secret.Data)), ", "))
	}
	return user, nil
}

// The keys that a Secret's credentials are looked for under.
var (
	credsKeys = []string{"nats.creds", "user.creds", "creds"} //nolint:gochecknoglobals // a constant
	nkeyKeys  = []string{"user.nk", "nkey"}                   //nolint:gochecknoglobals // a constant
)

func wanted(key string) string {
	if key != "" {
		return "the key " + key
	}
	return "one of " + strings.Join(slices.Concat(credsKeys, nkeyKeys, []string{"token", "username and password"}), ", ")
}

// userOf returns the user in the data of a Secret. A key that is named has a file of
// credentials, the seed of an nkey, or a token.
func userOf(data map[string][]byte, key string) (aegisenv.Settings, bool) {
	if key != "" {
		value, ok := data[key]
		return userIn(value), ok
	}
	for _, k := range slices.Concat(credsKeys, nkeyKeys, []string{"token"}) {
		if value, ok := data[k]; ok {
			return userIn(value), true
		}
	}
	if user, ok := data["username"]; ok {
		return aegisenv.Settings{User: string(user), Password: literal(data["password"])}, true
	}
	return aegisenv.Settings{}, false
}

// userIn tells by the text of a value what it is.
func userIn(value []byte) aegisenv.Settings {
	text := strings.TrimSpace(string(value))
	switch {
	case strings.Contains(text, "-----BEGIN NATS USER JWT-----"):
		return aegisenv.Settings{Creds: literal(value)}
	case strings.HasPrefix(text, "SU") && !strings.ContainsAny(text, " \n"), strings.Contains(text, "-----BEGIN USER NKEY SEED-----"):
		return aegisenv.Settings{NKey: literal(value)}
	}
	return aegisenv.Settings{Token: literal([]byte(text))}
}

// literal returns a reference to a text that stands in the reference itself, so that it is
// never taken for the name of a file.
func literal(value []byte) string {
	return "data:;base64," + base64.StdEncoding.EncodeToString(value)
}
