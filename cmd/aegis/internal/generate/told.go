package generate

import (
	"errors"
	"fmt"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bufconfig"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/protoset"
)

// Told puts a line before errors of several lines, so that each of these begins with its
// file and editors find it. undone says what has not been done because of them.
func Told(undone string, err error) error {
	if problems, ok := errors.AsType[*bufconfig.ProblemsError](err); ok {
		return fmt.Errorf("%s, because of %s in the configuration:\n%w", undone, counted(len(problems.Problems), "problem"), err)
	}
	if mistakes, ok := errors.AsType[*protoset.MistakesError](err); ok {
		return fmt.Errorf("%s, because of %s in the .proto files:\n%w", undone, counted(len(mistakes.Mistakes), "mistake"), err)
	}
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
