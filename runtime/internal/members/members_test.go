package members

import (
	"fmt"
	"slices"
	"testing"
)

func TestSharesAreEvenAndWhole(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 20; n++ {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("member-%d", i))
		}
		owned := map[int]int{}
		for _, m := range all {
			own := Share(all, m, 16)
			if most := (16 + n - 1) / n; len(own) > most {
				t.Errorf("%s of %d has %d partitions, more than %d", m, n, len(own), most)
			}
			for _, p := range own {
				owned[p]++
			}
		}
		for p := range 16 {
			if owned[p] != 1 {
				t.Errorf("with %d members partition %d has %d owners", n, p, owned[p])
			}
		}
	}
}

func TestFewPartitionsMove(t *testing.T) {
	t.Parallel()
	const partitions = 64
	all := []string{"a", "b", "c", "d"}
	owner := func(all []string) map[int]string {
		owners := map[int]string{}
		for _, m := range all {
			for _, p := range Share(all, m, partitions) {
				owners[p] = m
			}
		}
		return owners
	}
	before, after := owner(all), owner(slices.Delete(slices.Clone(all), 1, 2))
	moved := 0
	for p := range partitions {
		if before[p] != after[p] {
			moved++
		}
	}
	if moved > partitions/2 { // a quarter has to
		t.Errorf("%d of %d partitions moved when one of four members left", moved, partitions)
	}
}

func TestNobodySharesNothing(t *testing.T) {
	t.Parallel()
	if own := Share(nil, "a", 4); own != nil {
		t.Error(own)
	}
}
