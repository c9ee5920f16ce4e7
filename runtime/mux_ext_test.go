package aegis_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Most calls are abandoned about when their replies come, some get two: each
// reply still reaches its own call or nobody.
func TestNoCallGetsTheReplyOfAnother(t *testing.T) {
	t.Parallel()
	const callers, calls = 32, 150
	conn := connect(t)
	var late sync.WaitGroup
	server := standInFor(t, conn, doSubject, func(n int, msg *natsMsg) {
		var req testv1.DoRequest
		if proto.Unmarshal(msg.Data, &req) != nil {
			t.Error("a request that is none")
		}
		wait := time.Duration(rand.IntN(3000)) * time.Microsecond
		late.Go(func() {
			<-time.After(wait)
			answerWith(msg, &testv1.DoResponse{Text: req.GetText()})
			if n%3 == 0 {
				answerWith(msg, &testv1.DoResponse{Text: req.GetText()})
			}
		})
	})
	client := newClient(t, conn)
	var answered, abandoned atomic.Int64
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range calls {
				text := strconv.Itoa(caller*calls + i)
				timeout := time.Duration(500+rand.IntN(3000)) * time.Microsecond
				if i%4 == 1 {
					timeout = patience // on a busy machine no other call may be answered in time
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				if i%5 == 0 {
					time.AfterFunc(time.Millisecond, cancel)
				}
				res, err := client.Do(ctx, doRequest(text))
				cancel()
				switch {
				case err != nil:
					abandoned.Add(1)
				case res.GetText() != text:
					t.Errorf("call %s got the reply of %s", text, res.GetText())
				default:
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	// Requests of abandoned calls may still be on their way.
	require.NoError(t, conn.NATS().Flush())
	require.NoError(t, server.nc.Flush())
	server.settle(t)
	late.Wait()
	require.Positive(t, answered.Load())
	require.Positive(t, abandoned.Load())
	require.EqualValues(t, callers*calls, answered.Load()+abandoned.Load())
}

func TestRepliesOfOthersAreUnderstoodOrRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	bodies := [][]byte{[]byte("\xff\xff\xff"), nil}
	standInFor(t, conn, doSubject, func(n int, msg *natsMsg) { _ = msg.Respond(bodies[n-1]) })
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest(""))
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
	require.ErrorContains(t, err, "the reply of aegistest.v1.ProbeService.Do is no valid aegistest.v1.DoResponse")
	_, err = client.Do(t.Context(), doRequest(""))
	require.NoError(t, err, "nothing is a message whose fields are all unset")
}
