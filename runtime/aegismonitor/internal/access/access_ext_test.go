package access_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/access"
)

func TestConfigurations(t *testing.T) {
	t.Parallel()
	for _, c := range []access.Config{
		{},
		{Token: "s3cret-_.~+/="},
		{User: "ann", Password: "p:w ü"},
		{ProxyHeader: "X-Forwarded-User"},
		{Token: "t", User: "ann", Password: "p", ProxyHeader: "Remote-User"},
	} {
		require.NoError(t, c.Validate(), "%+v", c)
	}
	for _, c := range []access.Config{
		{Token: "two words"},
		{Token: "new\nline"},
		{Token: "ü"},
		{User: "ann"},
		{Password: "p"},
		{User: "a:b", Password: "p"},
		{ProxyHeader: "X Y"},
		{ProxyHeader: "X:Y"},
		{ProxyHeader: "authorization"},
		{ProxyHeader: "HOST"},
		{ProxyHeader: "Cookie"},
	} {
		require.Error(t, c.Validate(), "%+v", c)
	}
}

type give func(*http.Request)

func token(text string) give {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text) }
}

func password(user, text string) give {
	return func(r *http.Request) { r.SetBasicAuth(user, text) }
}

func header(key string, values ...string) give {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(key)] = values }
}

func nothing(*http.Request) {}

func judge(g *access.Guard, from string, gives give) (string, access.Verdict) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = from
	gives(r)
	return g.Judge(r)
}

// Any way that is configured suffices, and no other does.
func TestJudge(t *testing.T) {
	t.Parallel()
	open := access.Config{}
	byToken := access.Config{Token: "right"}
	byPassword := access.Config{User: "ann", Password: "right"}
	byProxy := access.Config{ProxyHeader: "X-Forwarded-User"}
	all := access.Config{Token: "right", User: "ann", Password: "right", ProxyHeader: "X-Forwarded-User"}
	for i, c := range []struct {
		config  access.Config
		gives   give
		user    string
		verdict access.Verdict
	}{
		{open, nothing, "", access.Welcome},
		{open, token("any"), "", access.Welcome},
		{byToken, nothing, "", access.Unknown},
		{byToken, token("right"), "token", access.Welcome},
		{byToken, header("Authorization", "bearer right"), "token", access.Welcome},
		{byToken, token("wrong"), "", access.Wrong},
		{byToken, token(""), "", access.Wrong},
		{byToken, token("right2"), "", access.Wrong},
		{byToken, header("Authorization", "right"), "", access.Wrong},
		{byToken, password("ann", "right"), "", access.Wrong},
		{byToken, password("", ""), "", access.Wrong},
		{byToken, header("X-Forwarded-User", "ann"), "", access.Unknown},
		{byPassword, password("ann", "right"), "ann", access.Welcome},
		{byPassword, password("ann", "wrong"), "", access.Wrong},
		{byPassword, password("bob", "right"), "", access.Wrong},
		{byPassword, token(""), "", access.Wrong},
		{byPassword, header("Authorization", "Basic !!"), "", access.Wrong},
		{byProxy, header("X-Forwarded-User", "ann"), "ann", access.Welcome},
		{byProxy, header("X-Forwarded-User", " "), "", access.Unknown},
		{byProxy, header("X-Forwarded-User", "ann", "bob"), "", access.Unknown},
		{byProxy, token(""), "", access.Unknown},
		{all, token("right"), "token", access.Welcome},
		{all, password("ann", "right"), "ann", access.Welcome},
		{all, header("X-Forwarded-User", "eve"), "eve", access.Welcome},
		{all, nothing, "", access.Unknown},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			user, verdict := judge(access.New(c.config), "192.0.2.1:1234", c.gives)
			require.Equal(t, c.verdict, verdict)
			if verdict == access.Welcome {
				require.Equal(t, c.user, user)
			}
		})
	}
}

// An address that was wrong often has to wait, whatever it says then. Others need not.
func TestGuessesAreLimited(t *testing.T) {
	t.Parallel()
	g := access.New(access.Config{Token: "right"})
	const here = "[2001:db8::1]:1"
	limited := false
	for i := 0; i < 1000 && !limited; i++ {
		_, v := judge(g, here, token(fmt.Sprint("guess", i)))
		require.NotEqual(t, access.Welcome, v)
		limited = v == access.Limited
	}
	require.True(t, limited)
	for range 3 { // a guess comes back each two seconds
		_, v := judge(g, "[2001:db8::2]:1", token("wrong"))
		limited = limited && v != access.Welcome
	}
	require.True(t, limited, "another address of the same network")
	_, v := judge(g, "[2001:db8:1::1]:1", token("right"))
	require.Equal(t, access.Welcome, v, "another network")
	_, v = judge(g, here, nothing)
	require.Equal(t, access.Unknown, v, "without a token nothing is guessed")
	for i := range 10_000 { // the memory is bounded
		judge(g, fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), token("wrong"))
	}
}

// A loopback address does not answer to the name of a foreign page, unless users say who
// they are.
func TestRebound(t *testing.T) {
	t.Parallel()
	local := func(address, host string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		at, err := net.ResolveTCPAddr("tcp", address)
		require.NoError(t, err)
		r.Host = host
		return r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, at))
	}
	g := access.New(access.Config{})
	for _, host := range []string{"localhost", "LOCALHOST:8080", "127.0.0.1:80", "127.0.0.2", "[::1]:80", "[::1]", "::1"} {
		require.False(t, g.Rebound(local("127.0.0.1:80", host)), host)
	}
	for _, host := range []string{"evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "", "0.0.0.0", "127.0.0.1.evil.example"} {
		require.True(t, g.Rebound(local("127.0.0.1:80", host)), host)
		require.True(t, g.Rebound(local("[::1]:80", host)), host)
	}
	require.False(t, g.Rebound(local("192.0.2.1:80", "monitor.example")), "it is no loopback address")
	require.False(t, access.New(access.Config{Token: "t"}).Rebound(local("127.0.0.1:80", "monitor.example")))
	require.False(t, g.Rebound(httptest.NewRequest(http.MethodGet, "/", nil)), "no connection")
}
