package main

import (
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// progress shows a bar on a terminal, and nothing elsewhere: there the results and
// the log say what happens.
type progress struct {
	w    io.Writer
	show bool

	mu  sync.Mutex
	bar *progressbar.ProgressBar
}

func newProgress(w io.Writer, off bool) *progress {
	return &progress{w: w, show: !off && isTerminal(w)}
}

var phaseWords = map[drivers.Phase]string{
	drivers.PhaseObserve: "reading devices",
	drivers.PhaseApply:   "changing devices",
}

// Start begins a bar of n devices.
func (p *progress) Start(phase drivers.Phase, n int) {
	if !p.show || n < 2 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish() // what it could report is a broken terminal
	}
	p.bar = progressbar.NewOptions(n, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(phaseWords[phase]),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
}

// Done moves the bar by one device.
func (p *progress) Done(drivers.Phase, models.DeviceID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Add(1)
	}
}

// stop takes the bar off the screen.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
