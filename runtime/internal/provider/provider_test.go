//nolint:unused // the fields are there to be embedded, or beside what is
package provider

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// The methods are called, so that each case can be held against what Go does.

type doer interface{ Do() string }

const (
	byStub = "stub"
	byHand = "hand"
)

type stub struct{}

func (stub) Do() string { return byStub }

type own struct{}

func (own) Do() string { return byHand }

type ownPointer struct{}

func (*ownPointer) Do() string { return byHand }

type (
	plain        struct{ stub }
	pointer      struct{ *stub }
	iface        struct{ doer }
	twice        struct{ plain }
	twicePointer struct{ *plain }
	thrice       struct{ twicePointer }
	beside       struct {
		stub
		name  string
		count int
	}
	other struct {
		own
		Other int
	}
	shallower struct { // own is at depth 1, the stub at depth 2
		plain
		own
	}
	deeper struct { // the stub is at depth 1, own at depth 2
		other
		stub
	}
	itself struct {
		*itself
		stub
	}
	defined            plain
	genericPlain       struct{ generic[int] }
	genericStub[T any] struct {
		stub
		value T
	}
)

type shadowed struct{ stub }

func (shadowed) Do() string { return byHand }

type shadowedPointer struct{ stub }

func (*shadowedPointer) Do() string { return byHand }

type shadowedTwice struct{ twice }

func (s shadowedTwice) Do() string { return byHand }

type embedsShadowed struct {
	shadowed
	n int
}

type embedsShadowedPointer struct{ *shadowedPointer }

type generic[T any] struct {
	stub
	value T
}

//go:noinline
func (g generic[T]) Do() string { return byHand }

type genericPointer[T any] struct {
	stub
	value T
}

//go:noinline
func (g *genericPointer[T]) Do() string { return byHand }

// method is not a struct.
type method string

func (m method) Do() string { return byHand }

type embedsMethod struct{ method }

func lookup(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Do") }

func isStub(t reflect.Type) bool { return t == reflect.TypeFor[stub]() }

func TestAStubIsFoundWhereverItIsEmbedded(t *testing.T) {
	t.Parallel()
	for _, impl := range []doer{
		stub{},
		&stub{},
		plain{},
		&plain{},
		pointer{&stub{}},
		&pointer{&stub{}},
		iface{stub{}},
		iface{&stub{}},
		iface{plain{}},
		iface{iface{&twice{}}},
		twice{},
		&twice{},
		twicePointer{&plain{}},
		thrice{twicePointer{&plain{}}},
		beside{},
		&beside{},
		deeper{},
		itself{},
		&itself{itself: &itself{}},
		defined{},
	} {
		require.Equal(t, byStub, impl.Do(), "%T", impl)
		require.Equal(t, Stub, Of(impl, lookup, isStub), "%T", impl)
	}
}

func TestWhatSomebodyHasWrittenIsNeverAStub(t *testing.T) {
	t.Parallel()
	for _, impl := range []doer{
		own{},
		&own{}, &ownPointer{},
		other{},
		shallower{},
		&shallower{},
		shadowed{},
		&shadowed{}, &shadowedPointer{},
		shadowedTwice{},
		&shadowedTwice{},
		embedsShadowed{},
		&embedsShadowed{},
		embedsShadowedPointer{&shadowedPointer{}},
		iface{own{}},
		iface{&shadowedPointer{}},
		iface{iface{shadowed{}}},
		generic[int]{},
		&generic[string]{}, &genericPointer[int]{},
		genericPlain{},
		&genericPlain{}, method(""),
		embedsMethod{},
		iface{generic[[]int]{}},
	} {
		require.Equal(t, byHand, impl.Do(), "%T", impl)
		require.Equal(t, Implemented, Of(impl, lookup, isStub), "%T", impl)
	}
}

// A generic type may hide its stub; the call then tells.
func TestAGenericTypeIsNotTakenForMoreThanItIs(t *testing.T) {
	t.Parallel()
	require.Equal(t, byStub, genericStub[int]{}.Do())
	require.NotEqual(t, Nil, Of(genericStub[int]{}, lookup, isStub))
}

func TestWhatWouldPanicIsFound(t *testing.T) {
	t.Parallel()
	for _, impl := range []doer{pointer{}, &pointer{}, iface{}, &iface{}, iface{iface{}}, iface{pointer{}}} {
		require.Panics(t, func() { impl.Do() }, "%T", impl)
		require.Equal(t, Nil, Of(impl, lookup, isStub), "%T", impl)
	}
	// A nil receiver may be what somebody wants.
	var p *ownPointer
	require.Equal(t, Implemented, Of(doer(p), lookup, isStub))
	var q *plain
	require.Equal(t, Stub, Of(doer(q), lookup, isStub))
	require.Equal(t, Implemented, Of(nil, lookup, isStub))
}
