package near

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearestNames(t *testing.T) {
	t.Parallel()
	names := []string{"order.v1.OrderService", "order.v1.BookService", "echo.v1.EchoService", "echo.v1.Other"}
	for name, want := range map[string][]string{
		"order.v1.OrderServise":  {"order.v1.OrderService"},
		"OrderService":           {"order.v1.OrderService"},
		"ordrservice":            {"order.v1.OrderService"},
		"echo":                   {"echo.v1.Other", "echo.v1.EchoService"},
		"ECHO.V1.ECHOSERVICE":    {"echo.v1.EchoService"},
		"zzzzzzzzzzzzzzzz":       {},
		"":                       {},
		"shop.order.v1.NoSuchAa": {},
	} {
		got := Names(name, names)
		if len(want) > 0 {
			require.GreaterOrEqual(t, len(got), len(want), name)
			got = got[:len(want)]
		}
		require.Equal(t, want, got, name)
	}
	require.Equal(t, 3, edits("kitten", "sitting"))
	require.Equal(t, 4, edits("", "four"))
	require.Equal(t, 1, edits("rsik", "risk"))
	require.Len(t, Names("abc", []string{"abd", "abe", "abf", "abg"}), 3)
}
