package howto

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	howtov1 "github.com/aegisrpc/aegis/examples/howto/gen/howto/v1"
	"github.com/aegisrpc/aegis/examples/howto/gen/howto/v1/howtov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Archive serves orders that find looks up, in a database for instance.
type Archive struct {
	howtov1aegis.UnimplementedOrderServiceServer

	find func(ctx context.Context, id string) (*howtov1.Order, error)
}

// GetOrder says which order is missing, for people and for programs.
func (a *Archive) GetOrder(ctx context.Context, req *howtov1.GetOrderRequest) (*howtov1.GetOrderResponse, error) {
	order, err := a.find(ctx, req.GetId())
	if errors.Is(err, sql.ErrNoRows) {
		return nil, aegis.Errorf(aegis.CodeNotFound, "there is no order %q", req.GetId()).
			WithDetails(&errdetails.ResourceInfo{ResourceType: "order", ResourceName: req.GetId()})
	}
	if err != nil {
		return nil, err // UNKNOWN, with the whole text
	}
	return &howtov1.GetOrderResponse{Order: order}, nil
}

// Missing returns the name of what an error says is missing, and "" for other errors.
func Missing(err error) string {
	if e, ok := errors.AsType[*aegis.Error](err); ok && e.Code() == aegis.CodeNotFound {
		for _, detail := range e.Details() {
			info := &errdetails.ResourceInfo{}
			if detail.UnmarshalTo(info) == nil {
				return info.GetResourceName()
			}
		}
	}
	return ""
}

// NewDiscreetServer returns a server whose callers do not read what its database says.
func NewDiscreetServer(conn *aegis.Conn, logger *slog.Logger) (*aegis.Server, error) {
	return aegis.NewServer(conn, aegis.WithErrorRedactor(func(ctx context.Context, err error) error {
		if aegis.CodeOf(err) != aegis.CodeUnknown {
			return err
		}
		logger.ErrorContext(ctx, "a handler failed", "err", err)
		return aegis.NewError(aegis.CodeInternal, "an error in this service")
	}))
}
