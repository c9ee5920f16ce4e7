package health

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const stat = `4711 (a) name) (S) S 1 2 3 4 5 4194304 1 2 3 4 250 50 7 8 20 0 9 0 100 123456 25000 18446744073709551615 1 1`

func TestStatOfAProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	require.NoError(t, os.WriteFile(path, []byte(stat), 0o600))
	p := procfs{path: path, page: 4096}
	cpu, err := p.CPUTime()
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, cpu)
	memory, err := p.Memory()
	require.NoError(t, err)
	require.Equal(t, uint64(25000*4096), memory)

	p.path += "-missing"
	_, err = p.CPUTime()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = p.Memory()
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestThisProcess(t *testing.T) {
	p := CurrentProcess()
	_, err := p.CPUTime()
	require.NoError(t, err)
	memory, err := p.Memory()
	require.NoError(t, err)
	require.Greater(t, memory, uint64(1_000_000))
}

func TestBrokenStats(t *testing.T) {
	for _, s := range []string{
		"", "4711", "4711 (a", "4711 (a)", "4711 (a) S 1 2", "4711 (a) S 1 2 3 4 5 6 7 8 9 10 x y 7 8 20 0 9 0 100 1 z 1",
		"4711 (a) S 1 2 3 4 5 6 7 8 9 10 1 y 7 8 20 0 9 0 100 1 18446744073709551615 1",
		"4711 (a) S 1 2 3 4 5 6 7 8 9 10 18446744073709551615 1 7 8 20 0 9 0 100 1 -1 1",
	} {
		_, err := parseCPUTime([]byte(s))
		require.ErrorIs(t, err, errStat, s)
		_, err = parseMemory([]byte(s), 4096)
		require.ErrorIs(t, err, errStat, s)
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte(stat))
	f.Add([]byte("1 () S"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if cpu, err := parseCPUTime(data); err != nil {
			require.ErrorIs(t, err, errStat)
		} else {
			require.GreaterOrEqual(t, cpu, time.Duration(0))
		}
		if _, err := parseMemory(data, 4096); err != nil {
			require.ErrorIs(t, err, errStat)
		}
	})
}
