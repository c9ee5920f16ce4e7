package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/openapi"
)

// The document that is committed is the one of the types as they are.
func TestTheDocumentIsFresh(t *testing.T) {
	t.Parallel()
	comments, err := readComments("../../../../../internal/monitorapi")
	require.NoError(t, err)
	text, err := json.MarshalIndent(newDocument(comments), "", "  ")
	require.NoError(t, err)
	require.Equal(t, string(text)+"\n", string(openapi.Document), "run go generate ./runtime/aegismonitor/internal/openapi")
}
