package payments_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/payments"
	paymentsv1 "github.com/aegisrpc/aegis/examples/payments/gen/payments/v1"
	"github.com/aegisrpc/aegis/examples/payments/gen/payments/v1/paymentsv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The unit tests need no NATS.

// fakeStore is a payments.Store of a test.
type fakeStore struct {
	payments []*paymentsv1.Payment
	err      error // of the next Append
}

func (s *fakeStore) All(context.Context) ([]*paymentsv1.Payment, uint64, error) {
	return s.payments, uint64(len(s.payments)), nil
}

func (s *fakeStore) Append(_ context.Context, p *paymentsv1.Payment, last uint64) (uint64, error) {
	if err := s.err; err != nil {
		s.err = nil
		return 0, err
	}
	if last != uint64(len(s.payments)) {
		return 0, payments.ErrBehind
	}
	s.payments = append(s.payments, p)
	return last + 1, nil
}

func (s *fakeStore) Get(_ context.Context, id string) (*paymentsv1.Payment, error) {
	for _, p := range s.payments {
		if p.GetId() == id {
			return p, nil
		}
	}
	return nil, nil
}

// serve serves the payments in memory.
func serve(t *testing.T, store payments.Store) (*aegistest.Memory, paymentsv1aegis.PaymentsServiceClient) {
	t.Helper()
	mem := aegistest.NewMemory(t)
	service, err := payments.New(store, mem.Conn())
	require.NoError(t, err)
	aegistest.Serve(t, mem.Conn(), func(srv *aegis.Server) error {
		return paymentsv1aegis.RegisterPaymentsServiceServer(srv, service)
	})
	client, err := paymentsv1aegis.NewPaymentsServiceClient(mem.Conn())
	require.NoError(t, err)
	return mem, client
}

func pay(id string, cents int64) *paymentsv1.PayRequest {
	return &paymentsv1.PayRequest{Id: id, Account: "alice", Cents: cents}
}

func TestAPaymentIsStoredAndToldOnce(t *testing.T) {
	mem, client := serve(t, &fakeStore{})
	for range 2 { // the second time under the same id
		res, err := client.Pay(t.Context(), pay("p1", 700))
		require.NoError(t, err)
		assert.Equal(t, int64(700), res.GetPayment().GetCents())
	}
	told := aegistest.Bodies[paymentsv1.PaidRequest](mem.Published())
	require.Len(t, told, 1)
	assert.Equal(t, "p1", told[0].GetPayment().GetId())
	got, err := client.GetPayment(t.Context(), &paymentsv1.GetPaymentRequest{Id: "p1"})
	require.NoError(t, err)
	assert.Equal(t, "alice", got.GetPayment().GetAccount())
}

func TestAPaymentBeyondTheLimitIsRefused(t *testing.T) {
	mem, client := serve(t, &fakeStore{payments: []*paymentsv1.Payment{{Id: "before", Account: "alice", Cents: 99_000}}})
	_, err := client.Pay(t.Context(), pay("p1", 1_001))
	assert.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "1000 left")
	_, err = client.Pay(t.Context(), &paymentsv1.PayRequest{Id: "p2"})
	assert.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	assert.Empty(t, mem.Published())
	_, err = client.GetPayment(t.Context(), &paymentsv1.GetPaymentRequest{Id: "p1"})
	assert.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
}

func TestAWriteOfAnotherLeaderIsNoticed(t *testing.T) {
	_, client := serve(t, &fakeStore{err: payments.ErrBehind})
	_, err := client.Pay(t.Context(), pay("p1", 1))
	assert.Equal(t, aegis.CodeAborted, aegis.CodeOf(err))
	_, err = client.Pay(t.Context(), pay("p1", 1))
	require.NoError(t, err)
}

// A handler is a method: a context says the rest.
func TestACallOfAnotherTermIsSentAgain(t *testing.T) {
	service, err := payments.New(&fakeStore{}, aegistest.NewMemory(t).Conn())
	require.NoError(t, err)
	require.NoError(t, service.OnLeading(t.Context(), aegis.Term{Token: 2}))
	_, err = service.Pay(aegistest.WithTerm(t.Context(), aegis.Term{Token: 1}), pay("p1", 1))
	assert.Equal(t, aegis.CodeAborted, aegis.CodeOf(err))
	_, err = service.Pay(aegistest.WithTerm(t.Context(), aegis.Term{Token: 2}), pay("p1", 1))
	require.NoError(t, err)
}

func TestTheDayAddsUpAndReports(t *testing.T) {
	store := &fakeStore{}
	for i := range 2000 {
		store.payments = append(store.payments, &paymentsv1.Payment{Id: strconv.Itoa(i), Account: "alice", Cents: 2})
	}
	_, client := serve(t, store)
	day, err := client.CloseDay(t.Context(), &paymentsv1.CloseDayRequest{})
	require.NoError(t, err)
	res, err := day.Result(t.Context())
	require.NoError(t, err)
	assert.Equal(t, int64(4000), res.GetCents())

	service, err := payments.New(store, aegistest.NewMemory(t).Conn())
	require.NoError(t, err)
	ctx, reports := aegistest.WithJob(t.Context(), "job", 1)
	_, err = service.CloseDay(ctx, &paymentsv1.CloseDayRequest{})
	require.NoError(t, err)
	assert.Equal(t, []aegis.Progress{{Percent: 0, Message: "adding up"}, {Percent: 50, Message: "adding up"}}, reports.List())
}

// fakeClient is a client whose Pay fails.
type fakeClient struct {
	paymentsv1aegis.PaymentsServiceClient

	err error
}

func (c fakeClient) Pay(context.Context, *paymentsv1.PayRequest, ...aegis.CallOption) (*paymentsv1.PayResponse, error) {
	return nil, c.err
}

func TestACheckoutKnowsWhetherItMayHavePaid(t *testing.T) {
	for want, err := range map[payments.Outcome]error{
		payments.Unknown: aegistest.NewUnknownOutcome(aegis.ReasonLeadershipLost),
		payments.Refused: aegistest.NewRefusal(aegis.ReasonNoResponders),
	} {
		got, err := payments.Checkout(t.Context(), fakeClient{err: err}, pay("p1", 1))
		require.Error(t, err)
		assert.Equal(t, want, got)
	}
	got, err := payments.Checkout(t.Context(), fakeClient{err: aegistest.NewWireError(aegis.CodeFailedPrecondition, "the limit")}, pay("p1", 1))
	require.ErrorContains(t, err, "payment p1: FAILED_PRECONDITION: the limit")
	assert.Equal(t, payments.Refused, got)
}
