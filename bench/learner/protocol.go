package main

// request is one task for a worker. Which fields matter is said by the task's function in work_*.go and peer.py; sizes are in rows.
type request struct {
	Task    string `json:"task"`
	Learner string `json:"learner,omitempty"` // of peer.py
	// Train and Holdout are prefixes of the files prefix.x.npy and prefix.y.npy.
	Train   string `json:"train,omitempty"`
	Holdout string `json:"holdout,omitempty"`
	File    string `json:"file,omitempty"`   // a CSV file
	Folds   string `json:"folds,omitempty"`  // the folds of its rows
	Seeds   int    `json:"seeds,omitempty"`  // how many columns of Folds to use; 0: all
	Scores  string `json:"scores,omitempty"` // a matrix of our scores, a row per seed
	Model   string `json:"model,omitempty"`  // a model in XGBoost's JSON

	// Losses asks for the losses of what was fitted. The driver asks the first round alone, as they are the same in each.
	Losses  bool `json:"losses,omitempty"`
	Threads int  `json:"threads"`
	Repeat  int  `json:"repeat"` // timings within the process
	Batch   int  `json:"batch,omitempty"`
	Rounds  int  `json:"rounds,omitempty"` // batches in one timing

	Trees        int     `json:"trees,omitempty"`
	Leaves       int     `json:"leaves,omitempty"` // 0: depth-wise, to Depth
	Depth        int     `json:"depth,omitempty"`
	Bins         int     `json:"bins,omitempty"`
	RowsInLeaf   int     `json:"rows_in_leaf,omitempty"`
	WeightInLeaf float64 `json:"weight_in_leaf,omitempty"` // least sum of second derivatives of a leaf
	Rate         float64 `json:"rate,omitempty"`
	L2           float64 `json:"l2,omitempty"`
	Subsample    float64 `json:"subsample,omitempty"`     // 0: all rows
	ColumnSample float64 `json:"column_sample,omitempty"` // 0: all columns

	Seconds    float64 `json:"seconds,omitempty"` // how long to time one-row scoring at once
	CPUProfile string  `json:"cpu_profile,omitempty"`
}

// result is what a worker found.
type result struct {
	// Seconds and CPUSeconds are of each repetition.
	Seconds    []float64 `json:"seconds,omitempty"`
	CPUSeconds []float64 `json:"cpu_seconds,omitempty"`
	// BeforeBytes is the resident memory before the work, data loaded; PeakBytes its peak during it. Both are 0 where there is no /proc.
	BeforeBytes int64 `json:"before_bytes,omitempty"`
	PeakBytes   int64 `json:"peak_bytes,omitempty"`
	// QuantizedBytes is the size of the quantized data, 0 where it is not known.
	QuantizedBytes int64 `json:"quantized_bytes,omitempty"`
	// TrainLoss and HoldoutLoss are the mean logistic losses of the fitted model; 0 where not asked for.
	TrainLoss   float64 `json:"train_loss,omitempty"`
	HoldoutLoss float64 `json:"holdout_loss,omitempty"`
	// Series holds repeated figures by name where a worker measures more than one thing.
	Series map[string][]float64 `json:"series,omitempty"`
	// Folds holds the figures by learner and metric, one for each fold of each seed.
	Folds    map[string]map[string][]float64 `json:"folds,omitempty"`
	Versions map[string]string               `json:"versions,omitempty"`
}
