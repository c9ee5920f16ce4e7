package aegis

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/handling"
)

func TestCancelsAreReplySubjects(t *testing.T) {
	t.Parallel()
	for payload, want := range map[int]int{0: 0, maxReplyBytes + 1: 0, maxReplyBytes: 1} {
		s := &Server{pool: handling.NewPool(0, nil)}
		s.canceled(&nats.Msg{Data: make([]byte, payload)})
		require.Equal(t, want, s.pool.Noted(), payload)
		<-s.pool.Close()
	}
}
