package openapi_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/openapi"
)

// The document is a valid one, in which everything is explained.
func TestDocument(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	for name, schema := range doc.Components.Schemas {
		require.NotEmpty(t, schema.Value.Description, "the type %s has no comment", name)
	}
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			require.NotEmpty(t, o.Summary, "%s %s", method, path)
			require.NotEmpty(t, o.OperationID, "%s %s", method, path)
		}
	}
}
