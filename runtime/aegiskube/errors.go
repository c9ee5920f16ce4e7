package aegiskube

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The kinds of errors of [Open] and [Connect], for errors.Is.
var (
	// ErrNoCluster: there is no kubeconfig, no such context, or it cannot be used.
	ErrNoCluster = errors.New("aegis kube: no cluster")
	// ErrUnauthorized: the cluster does not know the user, as a token has expired, say.
	ErrUnauthorized = errors.New("aegis kube: the cluster does not know the user")
	// ErrDenied: the user may not do what is needed; the error says what.
	ErrDenied = errors.New("aegis kube: the user may not do that")
	// ErrNoService: there is no service of NATS, or several, or it has no pod that is ready.
	ErrNoService = errors.New("aegis kube: no service of NATS")
)

// kindError is an error of a kind, with a text of its own.
type kindError struct {
	kind  error
	text  string
	cause error
}

func (e *kindError) Error() string        { return "aegis kube: " + e.text }
func (e *kindError) Is(target error) bool { return target == e.kind }
func (e *kindError) Unwrap() error        { return e.cause }

func newError(kind error, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &kindError{kind: kind, text: err.Error(), cause: errors.Unwrap(err)}
}

func noCluster(format string, args ...any) error { return newError(ErrNoCluster, format, args...) }

func noService(format string, args ...any) error { return newError(ErrNoService, format, args...) }

// explain returns the error for what the API server has answered to a verb on a resource.
func (c *cluster) explain(err error, verb, resource string) error {
	switch {
	case isUnauthorized(err):
		return newError(ErrUnauthorized, "%s does not know the user %s of the kubeconfig (401): its token or certificate has expired, "+
			"or is of another cluster; log in to the cluster again: %w", c, c.user, err)
	case isForbidden(err):
		return newError(ErrDenied, "the user %s of the kubeconfig may not %s %s in the namespace %s of %s; it needs a Role that allows that: %w",
			c.user, verb, resource, c.namespace, c, err)
	}
	return fmt.Errorf("aegis kube: %s %s in the namespace %s of %s: %w", verb, resource, c.namespace, c, err)
}

func isNotFound(err error) bool { return apierrors.IsNotFound(err) }

// isUnauthorized reports whether the API server does not know the user. The error of a
// connection to a pod that was refused has only a text.
func isUnauthorized(err error) bool {
	return apierrors.IsUnauthorized(err) || errors.Is(err, ErrUnauthorized) || refused(err, http.StatusUnauthorized)
}

// isForbidden reports whether the API server knows the user, and does not allow it.
func isForbidden(err error) bool {
	return apierrors.IsForbidden(err) || errors.Is(err, ErrDenied) || refused(err, http.StatusForbidden)
}

// refused reports whether the text of an error has the status of an upgrade that was
// refused.
func refused(err error, code int) bool {
	return err != nil && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(http.StatusText(code)))
}
