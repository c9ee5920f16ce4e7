package aegis_test

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// mirror answers with the metadata that it gets, and the error that it is told.
func mirror(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	call, _ := aegis.CallFromContext(ctx)
	for key, values := range call.RequestHeader() {
		for _, v := range values {
			call.ResponseHeader().Add(key, v)
		}
	}
	if req.GetText() == "fail" {
		return nil, aegis.NewError(aegis.CodeAborted, "as told")
	}
	return &testv1.DoResponse{}, nil
}

func TestMetadataTravelsBothWays(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{do: mirror})
	client := newClient(t, conn)
	for _, text := range []string{"", "fail"} {
		ctx, call := aegis.NewCall(t.Context())
		h := call.RequestHeader()
		h.Set("Tenant", "a")
		h.Add("list", "one")
		h.Add("LIST", "two")
		h.Add("list", "")
		h.Set("inner.tab_and-more", "x\ty")
		h.Set("utf-8", "Größe €")
		h.Set("Raw-Bin", "\x00\r\n\xff :")
		h.Add("raw-bin", "")
		h.Set("gone", "x")
		h.Del("Gone")
		_, err := client.Do(ctx, doRequest(text))
		require.Equal(t, text == "fail", aegis.CodeOf(err) == aegis.CodeAborted, "also with an error")
		require.Equal(t, aegis.Header{
			"tenant": {"a"}, "list": {"one", "two", ""}, "inner.tab_and-more": {"x\ty"},
			"utf-8": {"Größe €"}, "raw-bin": {"\x00\r\n\xff :", ""},
		}, call.ResponseHeader())
		require.Equal(t, "one", call.ResponseHeader().Get("List"))
		require.Equal(t, []string{"one", "two", ""}, call.ResponseHeader().Values("lIst"))
		require.Empty(t, call.ResponseHeader().Get("nothing"))
	}
}

func TestMetadataThatCannotTravelIsRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	requests := standInFor(t, conn, doSubject, unanswered)
	client := newClient(t, conn)
	for name, c := range map[string]struct {
		header aegis.Header
		want   string
	}{
		"CR":               {aegis.Header{"k": {"a\rb"}}, `metadata "k": the value "a\rb" has a control character`},
		"LF":               {aegis.Header{"k": {"a\nAegis-Timeout: 1"}}, "has a control character"},
		"NUL":              {aegis.Header{"k": {"\x00"}}, "has a control character"},
		"DEL":              {aegis.Header{"k": {"\x7f"}}, "has a control character"},
		"space in front":   {aegis.Header{"k": {" a"}}, "white space at an end; use a key that ends in -bin"},
		"space at the end": {aegis.Header{"k": {"ok", "a "}}, "white space at an end"},
		"empty key":        {aegis.Header{"": {"a"}}, "metadata: a key is empty"},
		"capitals":         {aegis.Header{"Key": {"a"}}, `the key "Key" has characters other than a-z 0-9 - _ .`},
		"colon":            {aegis.Header{"a:b": {"a"}}, "has characters other than"},
		"CR LF in a key":   {aegis.Header{"a\r\nb": {"a"}}, "has characters other than"},
		"not ASCII":        {aegis.Header{"größe": {"a"}}, "has characters other than"},
		"nats-":            {aegis.Header{"nats-msg-id": {"a"}}, `the key "nats-msg-id" is reserved for the transport`},
		"aegis-":           {aegis.Header{"aegis-timeout": {"1"}}, "is reserved for the transport"},
		"content-type":     {aegis.Header{"content-type": {"text/plain"}}, "is reserved for the transport"},
		"too much":         {aegis.Header{"k": {strings.Repeat("x", 8192)}}, "the metadata takes 8193 bytes, at most 8192 are allowed"},
		"too much base64":  {aegis.Header{"k-bin": {strings.Repeat("x", 6144)}}, "the metadata takes 8197 bytes, at most 8192 are allowed"},
		"too many":         {manyKeys(10_000), "bytes, at most 8192 are allowed"},
	} {
		ctx, call := aegis.NewCall(t.Context())
		maps.Copy(call.RequestHeader(), c.header)
		_, err := client.Do(ctx, doRequest(""))
		require.ErrorContains(t, err, c.want, name)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), name)
		require.False(t, aegis.IsWireError(err), name)
	}
	require.NoError(t, conn.NATS().Flush())
	require.Zero(t, requests.count())
}

func manyKeys(n int) aegis.Header {
	h := aegis.Header{}
	for i := range n {
		h.Set("k"+strconv.Itoa(i), "v")
	}
	return h
}

func TestMetadataUpToItsLimitTravels(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{do: mirror})
	client := newClient(t, conn)
	ctx, call := aegis.NewCall(t.Context())
	h := aegis.Header{"k": {strings.Repeat("x", 8191)}}
	call.RequestHeader()["k"] = h["k"]
	_, err := client.Do(ctx, doRequest(""))
	require.NoError(t, err)
	require.Equal(t, h, call.ResponseHeader())
}

func TestResponseMetadataThatCannotTravelIsInternal(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t)
	serve(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		call.ResponseHeader().Set("k", "a\nb")
		if req.GetText() == "fail" {
			return nil, aegis.NewError(aegis.CodeAborted, "what happened")
		}
		return &testv1.DoResponse{}, nil
	}}, log.option())
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest(""))
	require.ErrorContains(t, err, `INTERNAL: response metadata "k": the value "a\nb" has a control character`)
	require.True(t, aegis.IsWireError(err))
	require.Equal(t, 1, log.count(`msg="aegis: response metadata"`))
	_, err = client.Do(t.Context(), doRequest("fail"))
	require.EqualError(t, err, "ABORTED: what happened", "an error is not hidden by it")
}

// What other clients send.
func TestServerRefusesBadMetadata(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{do: mirror})
	nc := plain(t, conn)
	many := nats.Header{}
	for i := range 10_000 {
		many["k"+strconv.Itoa(i)] = []string{"v"}
	}
	empty := nats.Header{"k": make([]string, 10_000)}
	for name, c := range map[string]struct {
		header nats.Header
		want   string
	}{
		"10,000 headers":       {many, "the metadata takes 58890 bytes, at most 8192 are allowed"},
		"10,000 empty headers": {empty, "the metadata takes 10000 bytes, at most 8192 are allowed"},
		"long":                 {nats.Header{"k": {strings.Repeat("x", 500_000)}}, "the metadata takes 500001 bytes, at most 8192 are allowed"},
		"not base64":           {nats.Header{"K-Bin": {"!"}}, `metadata "k-bin": the value is not base64`},
	} {
		res, err := nc.RequestMsg(&nats.Msg{Subject: doSubject, Header: c.header}, patience)
		require.NoError(t, err, name)
		require.Equal(t, "3", res.Header.Get(wire.HeaderServiceErrorCode), name)
		require.Equal(t, c.want, res.Header.Get(wire.HeaderServiceError), name)
	}
	res, err := nc.RequestMsg(&nats.Msg{Subject: doSubject, Header: nats.Header{
		"X-Mixed-Case": {"v"}, "Nats-Expected-Stream": {"s"}, "Aegis-Of-The-Future": {"f"},
	}}, patience)
	require.NoError(t, err)
	require.Equal(t, nats.Header{"x-mixed-case": {"v"}}, res.Header, "lower case; the transport's own is not the user's")
}

// What an earlier attempt has answered is not the answer of a call that ends
// without any.
func TestResponseMetadataIsThatOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	serve(t, conn, probe{get: func(ctx context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		switch {
		case call.Attempt() == 1:
			call.ResponseHeader().Set("attempt", "1")
			return nil, aegis.NewError(aegis.CodeUnavailable, "not now")
		case req.GetText() == "silent":
			cancel()
			<-ctx.Done()
		}
		call.ResponseHeader().Set("other", "2")
		return &testv1.GetResponse{}, nil
	}})
	client := newClient(t, conn)
	answered, call := aegis.NewCall(t.Context())
	_, err := client.Get(answered, getRequest(""))
	require.NoError(t, err)
	require.Equal(t, aegis.Header{"other": {"2"}}, call.ResponseHeader())
	silent, call := aegis.NewCall(ctx)
	_, err = client.Get(silent, getRequest("silent"))
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	require.Empty(t, call.ResponseHeader())
	once, call := aegis.NewCall(t.Context())
	_, err = client.Get(once, getRequest(""), aegis.MaxAttempts(1))
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.Equal(t, aegis.Header{"attempt": {"1"}}, call.ResponseHeader(), "the last one")
}

func TestNewCallIsForOneCall(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	inner := newClient(t, conn)
	outer := make(chan string, 1)
	serve(t, conn, probe{
		do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
			call, ok := aegis.CallFromContext(ctx)
			require.True(t, ok)
			require.Equal(t, "aegistest.v1.ProbeService", call.Method().Service)
			require.Equal(t, "Do", call.Method().Name)
			require.False(t, call.Method().Idempotent)
			require.EqualValues(t, "aegistest.v1.ProbeService.Do", call.Method().Descriptor.FullName())
			require.Equal(t, 1, call.Attempt())
			outer <- call.Instance()
			res, err := inner.Get(ctx, getRequest("nested")) // with the handler's context
			return &testv1.DoResponse{Text: res.GetText()}, err
		},
		get: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
			call, _ := aegis.CallFromContext(ctx)
			require.True(t, call.Method().Idempotent)
			require.Equal(t, "Get", call.Method().Name)
			call.ResponseHeader().Set("from", "get")
			return &testv1.GetResponse{Text: fmt.Sprint(len(call.RequestHeader()), call.RequestHeader().Get("tenant"))}, nil
		},
	}, aegis.WithInstance("me"))
	ctx, call := aegis.NewCall(t.Context())
	require.Empty(t, call.Method().Name)
	call.RequestHeader().Set("tenant", "a")
	res, err := newClient(t, conn).Do(ctx, doRequest(""))
	require.NoError(t, err)
	require.Equal(t, "0", res.GetText(), "metadata is not passed on by itself")
	require.Empty(t, call.ResponseHeader(), "nor is that of a nested call's response")
	require.Equal(t, "Do", call.Method().Name)
	require.Equal(t, "me", <-outer)
	_, ok := aegis.CallFromContext(ctx)
	require.False(t, ok, "outside of handlers and interceptors there is no current call")
}
