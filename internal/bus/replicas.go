package bus

// Replicas returns how many copies of each stream this bus makes: what Config.Replicas says, else 3 on a cluster of at least three servers, else
// 1. Other buckets made beside the streams use the same number.
func (b *Bus) Replicas() int { return b.replicas() }
