//go:build unix

package history

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const recordSize = 48

// Log is an append-only file in memory that other processes can read, also after
// this one was killed: what is stored in a shared mapping belongs to the kernel.
// An append costs no system call.
type Log struct {
	data []byte
	next atomic.Int64
}

// Create makes a log with room for so many records. Room that is not used takes
// no space.
func Create(path string, records int) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the caller chose it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // the mapping stays
	size := records * recordSize
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &Log{data: data}, nil
}

// exitFull is the exit status of a process whose log is full.
const exitFull = 3

// Append adds a record. It is safe for concurrent use, and ends the process when
// the log is full: a history with gaps proves nothing.
func (l *Log) Append(r Record) {
	at := l.next.Add(recordSize) - recordSize
	if at+recordSize > int64(len(l.data)) {
		fmt.Fprintln(os.Stderr, "the history log is full: give it more room, or the world fewer rounds")
		os.Exit(exitFull) //nolint:forbidigo // a panic would be an error of the handler, and the history have a gap
	}
	b := l.data[at : at+recordSize]
	binary.NativeEndian.PutUint64(b[8:], r.ID)
	binary.NativeEndian.PutUint64(b[16:], r.Term)
	binary.NativeEndian.PutUint64(b[24:], r.Previous)
	binary.NativeEndian.PutUint64(b[32:], uint64(r.Begin))
	binary.NativeEndian.PutUint64(b[40:], uint64(r.End))
	head := uint64(r.Kind) | uint64(r.Outcome)<<8 | uint64(r.Reason)<<16 | uint64(r.Key)<<32
	// The word that makes it a record comes last: one who is killed before it has
	// written nothing.
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[0])), head) //nolint:gosec // aligned: records are multiples of 8
}

// Read returns the records of a log.
func Read(path string) ([]Record, error) {
	f, err := os.Open(path) //nolint:gosec // the caller chose it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var records []Record
	chunk := make([]byte, 4096*recordSize)
	for {
		n, _ := f.Read(chunk) // the file's end, or its empty rest, is the end
		found := 0
		for b := chunk[:n]; len(b) >= recordSize; b = b[recordSize:] {
			if r := decode(b); r.Kind != 0 {
				records = append(records, r)
				found++
			}
		}
		if found == 0 {
			return records, nil
		}
	}
}

func decode(b []byte) Record {
	head := binary.NativeEndian.Uint64(b)
	return Record{
		Kind: Kind(head), Outcome: Outcome(head >> 8), Reason: Reason(head >> 16), Key: uint32(head >> 32),
		ID: binary.NativeEndian.Uint64(b[8:]), Term: binary.NativeEndian.Uint64(b[16:]), Previous: binary.NativeEndian.Uint64(b[24:]),
		Begin: int64(binary.NativeEndian.Uint64(b[32:])), End: int64(binary.NativeEndian.Uint64(b[40:])),
	}
}

// Copy writes the records of a log to another file, without the room that was not
// used.
func Copy(to, from string) error {
	records, err := Read(from)
	if err != nil {
		return err
	}
	l, err := Create(to, max(1, len(records)))
	if err != nil {
		return err
	}
	for _, r := range records {
		l.Append(r)
	}
	return syscall.Munmap(l.data)
}
