package kv

import "container/heap"

// expiryQueue orders a shard's entries by when they expire. Its zero value is empty.
type expiryQueue struct{ order byExpiry }

func (q *expiryQueue) push(e *entry)   { heap.Push(&q.order, e) }
func (q *expiryQueue) fix(e *entry)    { heap.Fix(&q.order, e.place) }
func (q *expiryQueue) remove(e *entry) { heap.Remove(&q.order, e.place) }

// first is the entry that expires next, nil when there is none.
func (q *expiryQueue) first() *entry {
	if len(q.order) == 0 {
		return nil
	}
	return q.order[0]
}

// byExpiry is a heap.Interface whose entries know their places.
type byExpiry []*entry

func (b byExpiry) Len() int           { return len(b) }
func (b byExpiry) Less(i, j int) bool { return b[i].expires < b[j].expires }

func (b byExpiry) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].place, b[j].place = i, j
}

func (b *byExpiry) Push(x any) {
	e := x.(*entry)
	e.place = len(*b)
	*b = append(*b, e)
}

func (b *byExpiry) Pop() any {
	last := len(*b) - 1
	e := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return e
}
