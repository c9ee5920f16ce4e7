package howto

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// Authenticator is an interceptor of servers: it lets in what has the token of a user in its
// metadata, and nothing else.
type Authenticator struct {
	// User returns the user of a token, or an error.
	User func(ctx context.Context, token string) (string, error)
}

// WrapUnary guards calls, and the commands and events that a server handles.
func (a Authenticator) WrapUnary(next aegis.UnaryFunc) aegis.UnaryFunc {
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		ctx, err := a.authenticate(ctx)
		if err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// WrapServerStream guards streams.
func (a Authenticator) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	return func(ctx context.Context, s aegis.AnyStream) error {
		ctx, err := a.authenticate(ctx)
		if err != nil {
			return err
		}
		return next(ctx, s)
	}
}

// WrapClientStream does nothing: a client guards nothing.
func (a Authenticator) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	return next
}

func (a Authenticator) authenticate(ctx context.Context) (context.Context, error) {
	call, _ := aegis.CallFromContext(ctx)
	token, ok := strings.CutPrefix(call.RequestHeader().Get("authorization"), "Bearer ")
	if !ok {
		return nil, aegis.NewError(aegis.CodeUnauthenticated, "the metadata authorization has no token")
	}
	user, err := a.User(ctx, token)
	if err != nil {
		return nil, aegis.NewError(aegis.CodeUnauthenticated, "the token is not valid")
	}
	return context.WithValue(ctx, userKey{}, user), nil
}

type userKey struct{}

// UserFromContext returns the user of the call that a handler serves.
func UserFromContext(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

// WithToken returns the context for one call in the name of a user.
func WithToken(ctx context.Context, token string) context.Context {
	ctx, call := aegis.NewCall(ctx)
	call.RequestHeader().Set("authorization", "Bearer "+token)
	return ctx
}
