package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aegisrpc/aegis/internal/codegen"
)

// against prints the changes from one image to another that break programs that run or
// messages that are stored, and returns an error if there are any.
func against(before string, args []string, stdout io.Writer) error {
	if before == "" || len(args) != 1 || args[0] == "" {
		return errors.New("--against needs two images, such as --against before.binpb after.binpb")
	}
	was, err := os.ReadFile(before) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("read the image of before: %w", err)
	}
	is, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("read the image of now: %w", err)
	}
	changes, err := codegen.Against(was, is)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if _, err := fmt.Fprintln(stdout, c); err != nil {
			return err
		}
	}
	if len(changes) > 0 {
		return fmt.Errorf("%d changes break what runs or what is stored", len(changes))
	}
	return nil
}
