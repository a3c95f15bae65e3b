package resource

import "crypto/sha256"

// digest names a token in memory, which then holds no token that works.
type digest [sha256.Size]byte

func digestOf(raw string) digest { return sha256.Sum256([]byte(raw)) }
