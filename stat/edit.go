package stat

// EditDistance is the least number of insertions, deletions and substitutions
// of bytes that turn a into b (Levenshtein, "Binary codes capable of correcting
// deletions, insertions and reversals", 1966). EditDistance(a, "") = len(a).
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitution, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
