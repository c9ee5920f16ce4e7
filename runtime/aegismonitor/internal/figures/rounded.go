package figures

import "math"

// sparkDigits is how exact the values of a small plot are, whose page redraws it only when one
// of them has changed.
const sparkDigits = 2

// Rounded returns a figure with so many significant digits, as a person reads it: documents with
// all digits are twice as long.
func Rounded(x float64, digits int) float64 {
	scale := math.Pow10(digits - 1 - int(math.Floor(math.Log10(math.Abs(x)))))
	rounded := math.Round(x*scale) / scale
	if math.IsNaN(rounded) || math.IsInf(rounded, 0) { // it is 0, or beyond what can be scaled
		return x
	}
	return rounded
}
