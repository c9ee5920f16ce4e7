//go:build linux

package procs_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aegisrpc/aegis/internal/procs"
)

const within = 20 * time.Second

func TestAllOutputIsReadBeforeTheChildCountsAsEnded(t *testing.T) {
	t.Parallel()
	var lines []string
	p, err := procs.Start("cat", exec.Command("cat"), func(out io.Reader) {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines = append(lines, s.Text())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Tell("one"); err != nil {
		t.Fatal(err)
	}
	if err := p.Tell("two"); err != nil || !p.Alive() {
		t.Fatal(err, p.Alive())
	}
	if err := p.Finish(t.Context(), within); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines, " "); got != "one two" || p.Alive() {
		t.Errorf("read were %q, and alive is %v", got, p.Alive())
	}
}

func TestOutputOfADeadChildCanStillBeRead(t *testing.T) {
	t.Parallel()
	p, err := procs.Start("echo", exec.Command("echo", "hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	if out, err := io.ReadAll(p.Stdout); err != nil || string(out) != "hello\n" {
		t.Errorf("read were %q, %v", out, err)
	}
}

func TestFrozenChildrenAreKilledToo(t *testing.T) {
	t.Parallel()
	p, err := procs.Start("cat", exec.Command("cat"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Finish(t.Context(), 50*time.Millisecond); err == nil || p.Alive() {
		t.Errorf("a frozen child has ended by itself: %v, alive %v", err, p.Alive())
	}
	p.Kill() // once more does nothing
	if err := p.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if p.State().Exited() {
		t.Errorf("it was killed, and the status is %v", p.State())
	}
}

func TestBadEndsAreErrors(t *testing.T) {
	t.Parallel()
	p, err := procs.Start("false", exec.Command("false"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Finish(t.Context(), within); err == nil {
		t.Error("a bad status is no error")
	}
	if _, err := procs.Start("nothing", exec.Command("/does/not/exist"), nil); err == nil {
		t.Error("what does not exist was started")
	}
}

func TestUsageOfAChildIsRead(t *testing.T) {
	t.Parallel()
	p, err := procs.Start("busy", exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; read end"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		used, err := p.CPUTime()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("used %v: %v", used, err)
		}
		if used > 0 {
			break
		}
	}
	if now, most, err := p.Memory(); err != nil || now == 0 || most < now {
		t.Errorf("memory %d, at most %d: %v", now, most, err)
	}
	p.Kill()
	<-p.Ended()
	if used, err := p.CPUTime(); err == nil {
		t.Errorf("it is gone, and used %v", used)
	}
}
