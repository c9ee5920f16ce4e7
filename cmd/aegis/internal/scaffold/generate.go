package scaffold

import (
	"context"
	"errors"
	"os"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/generate"
)

// generateCode generates the code of the protos of the project in dir, as `aegis generate`
// does there. Meanwhile dir is the working directory of the process, as the paths in
// buf.gen.yaml are relative to that.
func generateCode(ctx context.Context, dir string) (err error) {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Chdir(here)) }()
	_, err = generate.Run(ctx, generate.Options{}, func(string, ...any) {})
	return err
}
