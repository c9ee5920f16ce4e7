package aegiskeda_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/runtime/aegiskeda"
	"github.com/aegisrpc/aegis/runtime/aegiskeda/internal/externalscaler"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMistakesInMetadata(t *testing.T) {
	t.Parallel()
	c := serve(t, aegistest.Connect(t))
	refused := trigger{"service": aegistestv1aegis.BoundedServiceName, "metric": "refused", "target": "1"}
	for _, one := range []struct {
		of   trigger
		want string
	}{
		{trigger{}, `metric is "": say what is measured`},
		{work("length"), `metric is "length": say what is measured, one of waiting, unfinished, age, lag and refused`},
		{work("waiting").with("queue", "x"), `the key "queue", which is unknown: the keys are service, method`},
		{work("waiting").with("service", "Job Service"), `service is "Job Service": give the full name`},
		{work("waiting").with("service", ""), `service is "": give the full name`},
		{work("waiting").with("method", ""), "the metric waiting needs the key method"},
		{work("waiting").with("method", "Work.>"), `"Work.>" is no name of a method`},
		{work("waiting").with("group", "store"), "the metric waiting has no group: leave the key out"},
		{event("Stored", ""), "the metric lag needs the key group"},
		{event("Stored", "*"), `"*" is no name of a group`},
		{refused.with("method", "Hold"), "the metric refused has no method"},
		{work("waiting").with("target", "-1"), `target is "-1": give the value that one replica is for`},
		{work("waiting").with("target", "0"), `target is "0"`},
		{work("waiting").with("target", "NaN"), `target is "NaN"`},
		{work("waiting").with("target", ""), `target is ""`},
		{work("waiting").with("activation", "-2"), `activation is "-2": give the value above which`},
		{work("waiting").with("methodFromEnv", "Work"), "both method and methodFromEnv"},
	} {
		_, err := c.active(one.of)
		require.Error(t, err, one.want)
		assert.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
		require.ErrorContains(t, err, one.want)
		_, err = call[externalscaler.ScaledObjectRef, externalscaler.GetMetricSpecResponse](c, "GetMetricSpec", one.of.ref())
		assert.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
		_, open := <-c.watch(one.of)
		assert.False(t, open)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	c := serve(t, aegistest.Connect(t))
	res, err := call[externalscaler.ScaledObjectRef, externalscaler.GetMetricSpecResponse](c, "GetMetricSpec", event("Stored", "store").ref())
	require.NoError(t, err)
	require.Len(t, res.GetMetricSpecs(), 1)
	assert.Equal(t, "aegis-lag", res.GetMetricSpecs()[0].GetMetricName())
	assert.Equal(t, int64(3), res.GetMetricSpecs()[0].GetTargetSize())
	assert.InDelta(t, 2.5, res.GetMetricSpecs()[0].GetTargetSizeFloat(), 0)
}

// What a trigger measures can be seen with curl.
func TestJSON(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	send(t, conn, 2)
	c := serve(t, conn)
	body := `{"scaledObjectRef": {"scalerMetadata": {"service": "aegistest.v1.JobService", "method": "Work", "metric": "waiting", "target": "1"}}}`
	res, err := http.Post(c.url+"/externalscaler.ExternalScaler/GetMetrics", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.JSONEq(t, `{"metricValues": [{"metricName": "aegis-waiting", "metricValue": "2", "metricValueFloat": 2}]}`, string(text))
}

// A user who may not look is told what he may not do, and no number.
func TestWithoutPermission(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`
authorization {users = [
  {user: all, password: pw}
  {user: scaler, password: pw, permissions: {subscribe: ["_INBOX.>"], publish: [
    "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.>", "$JS.API.STREAM.MSG.GET.*"]}}
  {user: nothing, password: pw, permissions: {subscribe: ["_INBOX.>"], publish: ["x"]}}
]}
`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string) string { return strings.Replace(n.URL(), "://", "://"+user+":pw@", 1) }
	all := connected(t, as("all"))
	runOnce(t, all)
	send(t, all, 2)
	publish(t, all, 1)

	c := serve(t, connected(t, as("scaler")))
	c.becomes(work("waiting"), 2, true)
	c.becomes(event("Stored", "store"), 1, true)
	nothing := serve(t, connected(t, as("nothing")))
	for _, of := range []trigger{work("waiting"), event("Stored", "store")} {
		_, err := nothing.value(of)
		require.Error(t, err)
		assert.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
		assert.ErrorContains(t, err, "this user may not use JetStream's ")
	}
}

// Many who ask at once cost as much as one does.
func TestManyTriggersAreOneLook(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	runOnce(t, conn)
	send(t, conn, 1)
	c := serve(t, conn)
	c.becomes(work("waiting"), 1, true)
	before := conn.NATS().Stats().OutMsgs
	var asking sync.WaitGroup
	const many = 100
	for range many {
		asking.Go(func() {
			_, err := c.value(work("waiting"))
			assert.NoError(t, err)
		})
	}
	asking.Wait()
	sent := conn.NATS().Stats().OutMsgs - before
	t.Logf("%d questions sent %d messages to NATS", many, sent)
	assert.Less(t, sent, uint64(many))
}

func TestClose(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	c := serve(t, conn)
	told := c.watch(work("waiting"))
	require.False(t, receive(t, told))
	c.scaler.Close()
	_, open := <-told
	assert.False(t, open)
	_, err := c.value(work("waiting"))
	assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	c.scaler.Close()
	_, err = aegiskeda.New(nil)
	require.EqualError(t, err, "aegiskeda: the connection is nil")
}
