package engine

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"ballast/kernel"
)

// A Machine says where a measurement was taken.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`   // logical ones that the program may use
	Threads int    `json:"threads"` // used
	Kernels string `json:"kernels"` // kernel.Path
	Go      string `json:"go"`
	System  string `json:"system"`
}

// ThisMachine describes the machine; threads are those that are used.
func ThisMachine(threads int) Machine {
	return Machine{CPU: cpuName(), Cores: runtime.NumCPU(), Threads: threads, Kernels: kernel.Path(),
		Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
}

// cpuName is the name that the system gives the CPU with its family and model,
// or the architecture where it cannot be had.
func cpuName() string {
	facts := colonPairs("/proc/cpuinfo")
	name := facts["model name"]
	if name == "" {
		return runtime.GOARCH
	}
	if family := facts["cpu family"]; family != "" {
		name += ", family " + family + " model " + facts["model"]
	}
	return name
}

// colonPairs reads the lines "name : value" of a file, the first of each name;
// it returns nothing where there is no such file.
func colonPairs(file string) map[string]string {
	pairs := map[string]string{}
	text, err := os.ReadFile(file)
	if err != nil {
		return pairs
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if _, known := pairs[name]; !known {
			pairs[name] = strings.TrimSpace(value)
		}
	}
	return pairs
}

// PeakMemory returns the largest resident size of the program, in bytes, since
// it started or since ForgetPeakMemory; 0 where it is not known (not on Linux).
func PeakMemory() int64 {
	words := strings.Fields(colonPairs("/proc/self/status")["VmHWM"])
	if len(words) != 2 {
		return 0
	}
	kilobytes, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		return 0
	}
	return 1024 * kilobytes
}

// ForgetPeakMemory gives unused memory back and starts PeakMemory anew; it says
// whether it could.
func ForgetPeakMemory() bool {
	debug.FreeOSMemory()
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) == nil // proc(5): 5 resets VmHWM
}
