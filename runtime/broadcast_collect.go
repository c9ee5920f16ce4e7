package aegis

import (
	"errors"
	"fmt"
	"iter"
)

// CollectReplies makes a broadcast and returns the replies of all instances when it has
// ended, in the order in which they came:
//
//	replies, err := aegis.CollectReplies(client.ReloadLimits(ctx, req))
//
// The error is nil if every instance has answered without one. Else it joins the errors
// of the instances, each behind the name of its instance, and that of the broadcast itself
// if it has failed; the replies tell them apart. CodeOf returns the code of the first.
func CollectReplies[T any](replies iter.Seq[Reply[T]]) ([]Reply[T], error) {
	if replies == nil {
		return nil, NewError(CodeInvalidArgument, "the broadcast is nil; pass what the method of a client returns")
	}
	var all []Reply[T]
	var errs []error
	for r := range replies {
		all = append(all, r)
		switch {
		case r.Err == nil:
		case r.Instance == "":
			errs = append(errs, r.Err)
		default:
			errs = append(errs, fmt.Errorf("%s: %w", r.Instance, r.Err))
		}
	}
	return all, errors.Join(errs...)
}
