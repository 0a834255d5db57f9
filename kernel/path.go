package kernel

import (
	"fmt"
	"os"
	"strings"
)

// The implementations of the inner loops. All give the same bits.
const (
	generic = "generic" // Go, on every CPU
	avx2    = "avx2"
	avx512  = "avx512"
	neon    = "neon"
)

// pathVariable is the environment variable that forces a path.
const pathVariable = "BALLAST_CPU"

var path, pathError = choosePath(os.Getenv(pathVariable))

// Path names the implementation in use: generic (Go), avx2, avx512 or neon. It is the
// fastest that the CPU has, unless BALLAST_CPU names another.
func Path() string { return path }

// PathError says why BALLAST_CPU was not followed; nil if it was, or is unset.
func PathError() error { return pathError }

// choosePath returns the wanted path, or the best with an error where it is
// unknown or the CPU lacks it.
func choosePath(wanted string) (string, error) {
	known := paths()
	best := known[len(known)-1]
	if wanted == "" {
		return best, nil
	}
	for _, name := range known {
		if name == wanted {
			return wanted, nil
		}
	}
	return best, fmt.Errorf("%s=%s: not available on this CPU; use one of %s",
		pathVariable, wanted, strings.Join(known, ", "))
}
