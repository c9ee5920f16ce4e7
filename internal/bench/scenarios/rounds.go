package scenarios

import "github.com/aegisrpc/aegis/internal/bench/figures"

// takeTurns has contenders measured one after the other, round for round. Each round
// begins with another contender, so that disturbances by the machine meet all of them
// alike. It returns the measurements of each contender by round, without the warm-ups.
func takeTurns[R any](s *Settings, contenders int, measure func(who int) (R, error)) (rounds [][]R, err error) {
	return takeTurnsIn(s, func(n int) []int {
		order := make([]int, contenders)
		for i := range order {
			order[i] = (i + n) % contenders
		}
		return order
	}, measure)
}

// takeTurnsIn is takeTurns with an order of its own for the n-th round.
func takeTurnsIn[R any](s *Settings, order func(n int) []int, measure func(who int) (R, error)) (rounds [][]R, err error) {
	for n := range s.Warmups + s.Rounds {
		turns := order(n)
		round := make([]R, len(turns))
		for _, who := range turns {
			if round[who], err = measure(who); err != nil {
				return nil, err
			}
		}
		if n >= s.Warmups {
			rounds = append(rounds, round)
		}
	}
	return rounds, nil
}

// ratios compares a contender with the first one in one figure, round for round.
func ratios[R any](rounds [][]R, who int, figure func(R) float64) (all figures.Spread) {
	for _, r := range rounds {
		all = append(all, figure(r[who])/figure(r[0]))
	}
	return all
}

// valuesOf returns one figure of one contender, round for round.
func valuesOf[R any](rounds [][]R, who int, figure func(R) float64) (all figures.Spread) {
	for _, r := range rounds {
		all = append(all, figure(r[who]))
	}
	return all
}
