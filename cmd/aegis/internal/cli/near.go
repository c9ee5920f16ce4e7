package cli

// Nearest returns the name that is the most like a name that nobody knows, or "" if none
// is like it: at most a third of its letters may differ.
func Nearest(unknown string, names []string) string {
	best, least := "", len(unknown)/3+2
	for _, name := range names {
		if d := distance(unknown, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance returns the Levenshtein distance of two texts: how many bytes have to be put in,
// taken out or replaced. Letters that differ in their case alone count as the same.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if fold(a[i]) == fold(b[j]) {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func fold(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
