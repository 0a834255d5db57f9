package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ballast/prep"
)

// The environment that decides about the cache of prepared images.
const (
	cacheFolder = "BALLAST_CACHE"       // its folder
	cacheLimit  = "BALLAST_CACHE_LIMIT" // its size, as 500MB or 20GB
)

const defaultCacheLimit = 10 << 30 // bytes

func cacheCommand() *cobra.Command {
	var asJSON bool
	show := func(c *cobra.Command, _ []string) error {
		cache, err := openCache()
		if err != nil {
			return err
		}
		status, err := cache.Status()
		if err != nil {
			return err
		}
		return printCacheStatus(c.OutOrStdout(), status, asJSON)
	}
	c := &cobra.Command{
		Use:   "cache",
		Short: "Show or clear the cache of prepared images",
		Long: "Images that were read and prepared once are kept, found by the content of their files and\n" +
			"the preprocessing, and used by every later run. The result is the same without them:\n" +
			"--no-cache of train and predict neither reads nor writes them. The environment sets the\n" +
			"folder (" + cacheFolder + ", by default in the user's cache folder) and the size\n" +
			"(" + cacheLimit + ", by default 10GB); the entries unused for longest go first. Beside the\n" +
			"images the folder notes which cohort a run was trained on, for ballast resume.",
		Example: "  ballast cache\n  ballast cache clear\n  " + cacheLimit + "=50GB ballast train COHORT",
		Args:    exactly(0, "no argument, or clear"),
		RunE:    show,
	}
	clear := &cobra.Command{
		Use:     "clear",
		Short:   "Remove all prepared images",
		Example: "  ballast cache clear",
		Args:    exactly(0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			cache, err := openCache()
			if err != nil {
				return err
			}
			removed, bytes, err := cache.Clear()
			if err == nil {
				err = forgetCohorts()
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), struct {
					Removed int   `json:"removed"`
					Bytes   int64 `json:"bytes"`
				}{removed, bytes})
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "removed %d entries of together %s\n", removed, bytesText(bytes))
			return err
		},
	}
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print as JSON")
	c.AddCommand(clear)
	return c
}

func printCacheStatus(w io.Writer, s prep.CacheStatus, asJSON bool) error {
	if asJSON {
		return printJSON(w, s)
	}
	oldest := ""
	if !s.Oldest.IsZero() {
		oldest = ", the oldest last used " + s.Oldest.Format("2006-01-02 15:04")
	}
	_, err := fmt.Fprintf(w, "%s\n%d entries, %s of at most %s%s\n", s.Dir, s.Entries, bytesText(s.Bytes), bytesText(s.Limit), oldest)
	return err
}

// openCache returns the cache that the environment names.
func openCache() (*prep.Cache, error) {
	limit, err := parseSize(os.Getenv(cacheLimit))
	if err != nil {
		return nil, fmt.Errorf("%w: %s is %q; write it as 500MB or 20GB", errUsage, cacheLimit, os.Getenv(cacheLimit))
	}
	dir, err := cacheDir()
	if err != nil {
		return nil, fmt.Errorf("%w: there is no folder for the cache of prepared images (%w); name one with %s, or use --no-cache", errUsage, err, cacheFolder)
	}
	return prep.OpenCache(dir, limit), nil
}

// cacheDir is the folder of the cache.
func cacheDir() (string, error) {
	if dir := os.Getenv(cacheFolder); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "ballast"), err
}

// addNoCache adds the flag that switches the cache off.
func addNoCache(c *cobra.Command, off *bool) {
	c.Flags().BoolVar(off, "no-cache", false, "prepare every image anew; see ballast cache --help")
}

// cacheUnless returns the cache, or nil when it is switched off or the machine
// has no place for it.
func cacheUnless(off bool) (*prep.Cache, error) {
	if off || os.Getenv(cacheFolder) == "" && !hasUserCache() {
		return nil, nil
	}
	return openCache()
}

func hasUserCache() bool {
	_, err := os.UserCacheDir()
	return err == nil
}

// parseSize reads a number of bytes with an optional unit, counted in powers of
// 1024.
func parseSize(text string) (int64, error) {
	if text == "" {
		return defaultCacheLimit, nil
	}
	number, unit := strings.ToUpper(strings.ReplaceAll(text, " ", "")), 1.0
	for _, u := range []struct {
		name string
		size float64
	}{{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}, {"B", 1}} {
		if rest, found := strings.CutSuffix(number, u.name); found {
			number, unit = rest, u.size
			break
		}
	}
	size, err := strconv.ParseFloat(number, 64)
	if err != nil || !(size >= 0 && size*unit < math.MaxInt64) {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return int64(size * unit), nil
}
