package roles

import (
	"context"
	"fmt"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	"github.com/aegisrpc/aegis/internal/bench/load"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// AllInstances is how many instances answer a broadcast.
const AllInstances = 50

// allTime is how long the handler of the instance with this number takes. It differs
// between the instances, so that their replies do not come at once.
func allTime(number int) time.Duration { return time.Duration(number) * time.Millisecond }

// TellResult is when the last reply of a broadcast had come, and when the caller
// knew that it was the last.
type TellResult struct {
	Slowest time.Duration `json:"slowest"`
	End     time.Duration `json:"end"`
}

type allServer struct {
	benchv1aegis.UnimplementedAllServiceServer
	takes time.Duration
}

func (s allServer) Tell(_ context.Context, req *benchv1.TellRequest) (*benchv1.TellResponse, error) {
	time.Sleep(s.takes)
	return &benchv1.TellResponse{Text: req.GetText()}, nil
}

// startAllServices runs all instances, each with a connection of its own.
func startAllServices(url string) (map[string]child.Op, func(), error) {
	var stops []func()
	stop := func() {
		for _, s := range stops {
			s()
		}
	}
	for number := range AllInstances {
		_, end, err := startAegisServer(url, func(srv *aegis.Server) error {
			return benchv1aegis.RegisterAllServiceServer(srv, allServer{takes: allTime(number + 1)})
		})
		if err != nil {
			stop()
			return nil, nil, err
		}
		stops = append(stops, end)
	}
	return map[string]child.Op{}, stop, nil
}

func startAllClient(url string) (map[string]child.Op, func(), error) {
	conn, err := connect(url)
	if err != nil {
		return nil, nil, err
	}
	client, err := benchv1aegis.NewAllServiceClient(conn, interceptors())
	if err != nil {
		return nil, nil, err
	}
	tell := func(struct{}) (*TellResult, error) { return tellAll(client) }
	return map[string]child.Op{OpTell: child.Typed(tell)}, closing(conn), nil
}

func tellAll(client benchv1aegis.AllServiceClient) (*TellResult, error) {
	var got TellResult
	replies := 0
	start := time.Now()
	for r := range client.Tell(context.Background(), &benchv1.TellRequest{Text: load.Padded("")}) {
		if r.Err != nil {
			return nil, fmt.Errorf("%s: %w", r.Instance, r.Err)
		}
		replies++
		got.Slowest = time.Since(start)
	}
	got.End = time.Since(start)
	if replies != AllInstances {
		return nil, fmt.Errorf("%d of %d instances have answered", replies, AllInstances)
	}
	return &got, nil
}
