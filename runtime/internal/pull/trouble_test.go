package pull

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// While several reasons last, the first one is told, and that all is well only
// when none is left.
func TestTroublesEndTogether(t *testing.T) {
	t.Parallel()
	var told []string
	p := &Puller{o: Options{
		Problem: func(err error) { told = append(told, err.Error()) },
		Works:   func() { told = append(told, "works") },
	}}
	p.report(searching, nil)
	p.report(searching, nil)
	p.report(pulling, errors.New("pulling"))
	p.report(stalling, errors.New("stalling"))
	p.report(searching, errors.New("searching"))
	p.report(searching, nil)
	p.answered()
	p.answered()
	p.report(stalling, nil)
	require.Equal(t, []string{"works", "pulling", "pulling", "searching", "pulling", "stalling", "works"}, told)
}
