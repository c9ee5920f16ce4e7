package roles

import (
	"context"
	"runtime"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	"github.com/aegisrpc/aegis/internal/bench/load"
)

// memory returns how much the heap and the stacks of the process hold.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// costOps adds the questions that both sides of the streams answer.
func costOps(ops map[string]child.Op) map[string]child.Op {
	ops[OpMemory] = child.Typed(func(struct{}) (uint64, error) { return memory(), nil })
	return ops
}

func openIdle(client benchv1aegis.StreamServiceClient, n int) (int, error) {
	for i := range n {
		if _, err := client.Chat(context.Background()); err != nil { // open until the process ends
			return i, err
		}
	}
	return n, nil
}

// SlowResult is the number of messages that a slow reader has read, and the most
// memory that it held.
type SlowResult struct {
	Read   int    `json:"read"`
	Memory uint64 `json:"memory"`
}

// readSlowly reads a message a second of a stream that offers as many as it can.
func readSlowly(client benchv1aegis.StreamServiceClient, d time.Duration) (SlowResult, error) {
	var got SlowResult
	ctx, cancel := context.WithTimeout(context.Background(), d+load.CallTimeout)
	defer cancel()
	in, err := client.Pull(ctx, &benchv1.PullRequest{Messages: 1 << 40, Text: textOf(child.Flow{Bytes: load.PayloadBytes})})
	if err != nil {
		return got, err
	}
	defer in.Close()
	for end := time.Now().Add(d); time.Now().Before(end); got.Read++ {
		if _, err := in.Recv(); err != nil {
			return got, err
		}
		time.Sleep(time.Second)
		got.Memory = max(got.Memory, memory())
	}
	return got, nil
}
