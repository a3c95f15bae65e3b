package login

import "sync"

// networkShare is how many passwords one network has checked or waiting at
// once: a quarter of what two slots and their queues hold. An attacker's own
// attempts so wait for each other and not in everybody's way.
const networkShare = 8

// shares counts the checks under way. It knows a network only while one is.
type shares struct {
	mu    sync.Mutex
	taken map[string]int
}

func newShares() *shares { return &shares{taken: map[string]int{}} }

// enter takes a place of the network, if it has one left. It is to be left.
func (s *shares) enter(network string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[network] >= networkShare {
		return false
	}
	s.taken[network]++
	return true
}

func (s *shares) leave(network string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[network]--; s.taken[network] == 0 {
		delete(s.taken, network)
	}
}
