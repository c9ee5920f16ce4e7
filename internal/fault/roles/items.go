//go:build linux

package roles

import (
	"encoding/binary"
	"hash/crc32"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
)

// itemBytes is the size of an item's data.
const itemBytes = 128

var itemTable = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant

// maker makes the items of one stream.
type maker struct {
	items    uint64
	made     uint64
	checksum uint32
}

// next returns the next item, nil after the last.
func (m *maker) next() *faultv1.Item {
	if m.made == m.items {
		return nil
	}
	m.made++
	data := make([]byte, itemBytes)
	for i := 0; i < itemBytes; i += 8 {
		binary.BigEndian.PutUint64(data[i:], m.made*0x9e3779b97f4a7c15+uint64(i))
	}
	m.checksum = crc32.Update(m.checksum, itemTable, data)
	return &faultv1.Item{Number: m.made, Data: data, Checksum: m.checksum, Last: m.made == m.items}
}

// taker looks at the items of one stream.
type taker struct {
	taken    uint64
	checksum uint32
	wrong    bool
	last     *faultv1.Item
}

func (t *taker) take(item *faultv1.Item) {
	t.taken++
	t.checksum = crc32.Update(t.checksum, itemTable, item.GetData())
	if item.GetNumber() != t.taken || item.GetChecksum() != t.checksum || t.last.GetLast() {
		t.wrong = true
	}
	t.last = item
}

// whole reports whether all items have come, in order and as they were sent.
func (t *taker) whole() bool { return !t.wrong && t.last.GetLast() }
