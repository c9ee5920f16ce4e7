// Gen writes the OpenAPI document of the monitor's HTTP API: the documents of package
// monitorapi with the comments of their types and fields, and the operations in operations.go.
// It is run in the folder of package openapi.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	comments, err := readComments("../../../../internal/monitorapi")
	if err != nil {
		fail(err)
	}
	text, err := json.MarshalIndent(newDocument(comments), "", "  ")
	if err != nil {
		fail(err)
	}
	if err := os.WriteFile("openapi.json", append(text, '\n'), 0o644); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gen:", err)
	os.Exit(1) //nolint:forbidigo // it is a main
}
