package live

import (
	"github.com/aegisrpc/aegis/internal/monitorapi"
)

// Kind is a kind of live document.
type Kind int

// The kinds.
const (
	Overview Kind = iota
	Leaders
	Work
	Activity
	Service
)

// View names one live document. The name of the service is that of a document of the kind
// Service, and "" for all others.
type View struct {
	Kind    Kind
	Service string
}

// view is a document that somebody watches. Its fields are guarded by the mutex of its hub.
type view struct {
	watchers int
	leave    func()
	frame    *Frame
	// next is closed when there is another frame.
	next chan struct{}
}

// show has all watchers see a frame.
func (v *view) show(f *Frame) {
	v.frame = f
	close(v.next)
	v.next = make(chan struct{})
}

// still removes from a document what changes although nothing has happened: when it was made,
// and when it was last heard of something.
func still(d monitorapi.Document) {
	head := d.Head()
	head.At, head.Revision = zero, 0
	for i := range head.Sources {
		head.Sources[i].At = nil
	}
	switch d := d.(type) {
	case *monitorapi.Overview:
		stillLeaders(d.Leaders)
	case *monitorapi.Leaders:
		stillLeaders(d.Leaders)
	case *monitorapi.ServiceDetail:
		stillLeaders(d.Leaders)
		for i := range d.Instances {
			d.Instances[i].Heard = nil
		}
	}
}

func stillLeaders(list []monitorapi.Leadership) {
	for i := range list {
		list[i].From, list[i].To = zero, zero
	}
}
