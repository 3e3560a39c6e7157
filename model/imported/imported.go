package imported

import (
	"errors"
	"fmt"

	"telco-churn-mlops/model"
)

// The formats of models.
const (
	FormatLightGBM = "lightgbm" // text
	FormatXGBoost  = "xgboost"  // JSON
)

// Source is the files of one logged model.
type Source struct {
	// Name is the model's name in the registry: the key, which stays when a model is renamed. Any text but the empty one.
	Name string
	// List are the files' paths, relative to the model's folder, with slashes.
	List []string
	// Files returns the content of a file of List. It is called for few of them, and its error ends the import as it is: a store that is away
	// makes no model unservable.
	Files func(path string) ([]byte, error)
	// Target is the label's column in a holdout, and Positive the value that counts as 1 there; a schema.json may name them where these are
	// empty, and else the target is "target" and the positive value "1".
	Target, Positive string
}

// Info is what was found.
type Info struct {
	Format    string   `json:"format"` // FormatLightGBM or FormatXGBoost
	File      string   `json:"file"`   // the model's path
	Columns   []Column `json:"columns"`
	Threshold float64  `json:"threshold"`
	Examples  int      `json:"examples"` // rows of the example, of which golden rows are chosen
}

// Column is an input of the model.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // of the signature: double, float, long, integer, boolean or string
	Required bool   `json:"required"`
	// Categories are the words that the trees know, in the order of their codes; nil for a column of numbers.
	Categories []string `json:"categories,omitempty"`
}

// Unservable says why a model can't be served. It names the file and the rule, and the same files give it again.
type Unservable struct {
	File   string // "" if no file is to blame
	Reason string
}

// Error returns the sentence.
func (u *Unservable) Error() string {
	if u.File == "" {
		return u.Reason
	}
	return u.File + ": " + u.Reason
}

// refuse returns an *Unservable.
func refuse(file, format string, args ...any) error {
	return &Unservable{File: file, Reason: fmt.Sprintf(format, args...)}
}

// FromFiles makes a bundle of a logged model. The error is an *Unservable where the files are to blame, whatever else happens to them, and
// one of Source.Files where that failed. The same files and names give the same bytes on one architecture. Info is filled as far as things
// were understood, with an error too.
func FromFiles(s Source) (*model.Bundle, Info, error) {
	return nil, Info{}, errors.New("model/imported: being written")
}
