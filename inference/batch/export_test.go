package batch

// Small returns a job with blocks and row groups so small that a few hundred rows have many.
func Small(j Job) Job {
	j.block, j.groupRows, j.CheckpointEvery = 4<<10, 100, 1
	if j.InputFormat == Parquet {
		j.block = 40
	}
	return j
}

// EachBlock has fn called with every block, and not a few times a second.
func EachBlock(j *Job, fn func(Progress)) { j.Progress, j.reportEvery = fn, 1 }
