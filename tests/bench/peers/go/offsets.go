package main

import "sync"

// partition knows which offset of one assignment of a partition may be committed: jobs end in any order, what is committed is the first that
// isn't done. Any goroutine.
type partition struct {
	mu      sync.Mutex
	pending []int64
	done    map[int64]struct{}
}

func newPartition() *partition { return &partition{done: map[int64]struct{}{}} }

func (p *partition) received(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, offset)
}

// ended says where the commit is now, if it has moved. moved is called under the lock, so that it never goes back.
func (p *partition) ended(offset int64, moved func(next int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[offset] = struct{}{}
	next := int64(-1)
	for len(p.pending) > 0 {
		if _, ok := p.done[p.pending[0]]; !ok {
			break
		}
		delete(p.done, p.pending[0])
		next = p.pending[0] + 1
		p.pending = p.pending[1:]
	}
	if next >= 0 {
		moved(next)
	}
}
