// Command audit measures how surely `ballast check` finds planted faults, and how
// often it cries wolf over clean cohorts, and writes the tables into
// docs/checking-a-cohort.md.
//
//	go run ./bench/audit
//
// The thresholds of package audit were set on the seeds 100 to 105. The seeds
// used here begin at 8001 and are used nowhere else.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"ballast/audit"
	"ballast/cohort"
	"ballast/phantom"
	"ballast/stat"
)

const (
	firstSeed = 8001
	page      = "docs/checking-a-cohort.md"
)

func main() {
	seeds := flag.Int("seeds", 50, "seeds of each kind of clean cohort")
	planted := flag.Int("planted", 10, "seeds of each planted fault")
	dry := flag.Bool("dry", false, "print the tables and leave the page as it is")
	flag.Parse()
	folder, err := os.MkdirTemp("", "ballast-audit-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	b := &bench{folder: folder}
	tables := map[string]string{}
	for name, measure := range map[string]func() (string, error){
		"clean":   func() (string, error) { return b.clean(*seeds) },
		"planted": func() (string, error) { return b.planted(*planted) },
	} {
		if tables[name], err = measure(); err != nil {
			log.Print(err)
			return
		}
		fmt.Println(tables[name])
	}
	if *dry {
		return
	}
	if err := publish(tables); err != nil {
		log.Print(err)
	}
}

// publish puts each table between its marks on the page.
func publish(tables map[string]string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("%w; run the command in the project's folder", err)
	}
	for name, table := range tables {
		mark := regexp.MustCompile(`(?s)(<!-- bench/audit ` + name + ` -->\n).*?(<!-- end -->)`)
		if !mark.Match(text) {
			return fmt.Errorf("%s has no place for the table %s", page, name)
		}
		text = mark.ReplaceAllLiteral(text, []byte("<!-- bench/audit "+name+" -->\n"+table+"<!-- end -->"))
	}
	return os.WriteFile(page, text, 0o644)
}

type bench struct{ folder string }

// check writes a cohort, checks it and removes it again.
func (b *bench) check(c phantom.Config, subjects int) (*audit.Report, error) {
	dir := filepath.Join(b.folder, "cohort")
	defer os.RemoveAll(dir)
	if err := phantom.Write(context.Background(), dir, c, subjects, nil); err != nil {
		return nil, err
	}
	opened, err := cohort.Inspect(dir, cohort.Options{})
	if err != nil {
		return nil, err
	}
	return audit.Check(context.Background(), opened, audit.Options{Threads: runtime.GOMAXPROCS(0), Seed: c.Seed})
}

// A kind is a sort of cohort.
type kind struct {
	name     string
	subjects int
	dims     int
	size     int
	sites    int
	signal   string
}

var kinds = []kind{
	{"3D, 16 voxels a side, one site", 30, 3, 16, 1, phantom.SignalNone},
	{"3D, 16 voxels a side, 3 sites", 60, 3, 16, 3, phantom.SignalNone},
	{"3D, 16 voxels a side, 3 sites", 120, 3, 16, 3, phantom.SignalNone},
	{"2D, 48 pixels a side, 2 sites", 100, 2, 48, 2, phantom.SignalNone},
	{"3D, 32 voxels a side, 2 sites, responders' tumours differ", 40, 3, 32, 2, phantom.SignalCore},
}

func (k kind) config(seed int) phantom.Config {
	c := phantom.Default().Resized(k.dims, k.size)
	c.Seed, c.Sites, c.Signal = uint64(seed), k.sites, k.signal
	return c
}

// facts that say how large a cohort is, which is true of clean ones too.
var ofSize = []string{"small-validation-set", "few-of-a-class"}

// clean counts findings in clean cohorts.
func (b *bench) clean(seeds int) (string, error) {
	var table strings.Builder
	table.WriteString("| clean cohorts | subjects | cohorts | duplicates | shortcuts | other findings | cohorts with any | 95 % interval |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, k := range kinds {
		var duplicates, shortcuts, others, any int
		for seed := range seeds {
			r, err := b.check(k.config(firstSeed+seed), k.subjects)
			if err != nil {
				return "", err
			}
			before := duplicates + shortcuts + others
			for _, f := range r.Findings {
				switch {
				case slices.Contains(ofSize, f.ID):
				case strings.Contains(f.ID, "duplicate"):
					duplicates++
				case strings.Contains(f.ID, "shortcut"), strings.Contains(f.ID, "label"), strings.Contains(f.ID, "shift"):
					shortcuts++
				default:
					others++
				}
				if !slices.Contains(ofSize, f.ID) {
					log.Printf("%s, %d subjects, seed %d: %s: %s", k.name, k.subjects, firstSeed+seed, f.ID, f.Problem)
				}
			}
			if duplicates+shortcuts+others > before {
				any++
			}
		}
		low, high := stat.Wilson(float64(any), float64(seeds), 0.95)
		fmt.Fprintf(&table, "| %s | %d | %d | %d | %d | %d | %d | %.0f to %.0f %% |\n", k.name, k.subjects, seeds, duplicates, shortcuts, others, any, 100*low, 100*high)
	}
	return table.String(), nil
}

// planted counts how often each fault is found.
func (b *bench) planted(seeds int) (string, error) {
	var table strings.Builder
	table.WriteString("| planted | in | found | 95 % interval | other duplicates named |\n|---|---|--:|--:|--:|\n")
	for _, where := range []kind{{"3D, 30 subjects, 32 voxels a side", 30, 3, 32, 1, phantom.SignalCore}, {"2D, 30 subjects, 64 pixels a side", 30, 2, 64, 1, phantom.SignalCore}} {
		for _, copied := range phantom.Copies {
			found, wrong, all := 0, 0, 0
			for seed := range seeds {
				c := where.config(firstSeed + 1000 + seed)
				c.Copies, c.Copy = 3, copied
				r, err := b.check(c, where.subjects)
				if err != nil {
					return "", err
				}
				all += c.Copies
				for _, p := range r.Pairs {
					if p.A%2 == 0 && p.B == p.A+1 && p.A < 2*c.Copies {
						found++
					} else {
						wrong++
					}
				}
			}
			row(&table, "copy of a subject, "+copied, where.name, found, all, fmt.Sprint(wrong))
		}
	}
	if err := b.shortcuts(&table, seeds); err != nil {
		return "", err
	}
	found := 0
	for seed := range seeds {
		c := kind{"", 24, 3, 16, 1, phantom.SignalCore}.config(firstSeed + 3000 + seed)
		c.Overlap = 1
		r, err := b.check(c, 24)
		if err != nil {
			return "", err
		}
		found += count(r, "subject-in-two-sets")
	}
	row(&table, "one subject in two sets", "3D, 24 subjects", found, seeds, "")
	return table.String(), nil
}

// shortcuts plants sites that go with the label.
func (b *bench) shortcuts(table *strings.Builder, seeds int) error {
	for _, s := range []struct {
		subjects int
		strength float64
	}{{30, 1}, {60, 1}, {60, 0.75}, {60, 0.5}, {120, 0.5}} {
		found := 0
		for seed := range seeds {
			c := kind{"", s.subjects, 3, 16, 2, phantom.SignalCore}.config(firstSeed + 2000 + seed)
			c.SiteShortcut = s.strength
			r, err := b.check(c, s.subjects)
			if err != nil {
				return err
			}
			found += count(r, "site-shortcut")
		}
		row(table, fmt.Sprintf("label decides the site of %.0f %%", 100*s.strength), fmt.Sprintf("3D, %d subjects, 2 sites", s.subjects), found, seeds, "")
	}
	return nil
}

func row(table *strings.Builder, planted, where string, found, all int, wrong string) {
	low, high := stat.Wilson(float64(found), float64(all), 0.95)
	fmt.Fprintf(table, "| %s | %s | %d of %d | %.0f to %.0f %% | %s |\n", planted, where, found, all, 100*low, 100*high, wrong)
}

func count(r *audit.Report, id string) int {
	for _, f := range r.Findings {
		if f.ID == id {
			return 1
		}
	}
	return 0
}
