package natsproxy

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestHeldHoldsBackAndDelivers(t *testing.T) {
	t.Parallel()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	p, err := NewHeld(target.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	client, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p.There.Shut()
	exchange(t, server, client, true) // the other way is open
	send(t, client)
	if err := server.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := server.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes came through a shut gate", n)
	}
	p.There.Open()
	exchange(t, client, server, false) // what was held back
	exchange(t, client, server, true)
}

// exchange receives what was sent, or is sent now.
func exchange(t *testing.T, from, to net.Conn, now bool) {
	t.Helper()
	if now {
		send(t, from)
	}
	if err := to.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, len(text))); err != nil {
		t.Fatal(err)
	}
}

const text = "hello"

func send(t *testing.T, to net.Conn) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}
