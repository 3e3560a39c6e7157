package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/bcrypt"
)

const (
	// maxFile bounds the users file in bytes.
	maxFile = 1 << 20
	// maxName bounds a user's name in bytes.
	maxName = 128
	// maxCost bounds the bcrypt cost that a file may ask for: 14 is about a second.
	maxCost = 14
)

// User is one entry of the users file.
type User struct {
	Name string `yaml:"name"`
	Role Role   `yaml:"role"`
	// PasswordBcrypt is a bcrypt hash, TokenSHA256 64 hexadecimal digits ([TokenDigest]). One of them is required.
	PasswordBcrypt string `yaml:"password_bcrypt,omitempty"`
	TokenSHA256    string `yaml:"token_sha256,omitempty"`
}

// File is the users file.
type File struct {
	OpenMetrics bool   `yaml:"open_metrics,omitempty"`
	Users       []User `yaml:"users"`
}

// directory is a file that was checked.
type directory struct {
	openMetrics bool
	byName      map[string]*user
	byToken     map[[sha256.Size]byte]*user
	// decoy is the hash that costs the most, nil if nobody has a password.
	decoy []byte
}

type user struct {
	name   string
	role   Role
	bcrypt []byte             // nil: no password
	token  *[sha256.Size]byte // nil: no token
}

func (u *user) principal() Principal { return Principal{Name: u.name, Role: u.role} }

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read users file: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read users file %s: %w", path, err)
	case len(raw) > maxFile:
		return nil, fmt.Errorf("users file %s: more than %d bytes", path, maxFile)
	}
	return raw, nil
}

// parse returns the users, or every fault of the file. Errors hold neither hashes nor the file's text.
func parse(raw []byte) (*directory, error) {
	f, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return f.directory()
}

// decode reads the YAML. The library panics on some files with tags: those are errors too, as a file that is read again must not end the process.
func decode(raw []byte) (f File, err error) {
	defer func() {
		if recover() != nil {
			f, err = File{}, errors.New("the file is not YAML that can be read")
		}
	}()
	if err := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict()).Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return File{}, errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	return f, nil
}

// Validate returns every fault of the file at once, or nil.
func (f File) Validate() error {
	_, err := f.directory()
	return err
}

func (f File) directory() (*directory, error) {
	d := &directory{openMetrics: f.OpenMetrics, byName: map[string]*user{}, byToken: map[[sha256.Size]byte]*user{}}
	var faults []error
	if len(f.Users) == 0 {
		faults = append(faults, errors.New("no users: nobody could log in"))
	}
	for i, entry := range f.Users {
		u, err := entry.check()
		if err != nil {
			faults = append(faults, fmt.Errorf("user %d (%.40q): %w", i+1, entry.Name, err))
			continue
		}
		if d.byName[u.name] != nil {
			faults = append(faults, fmt.Errorf("user %d (%.40q): the name is taken", i+1, u.name))
			continue
		}
		d.byName[u.name] = u
		if u.bcrypt != nil && (d.decoy == nil || cost(u.bcrypt) > cost(d.decoy)) {
			d.decoy = u.bcrypt
		}
		if u.token == nil {
			continue
		}
		if other := d.byToken[*u.token]; other != nil {
			faults = append(faults, fmt.Errorf("user %d (%.40q): has the token of %.40q", i+1, u.name, other.name))
		}
		d.byToken[*u.token] = u
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return d, nil
}

// cost is a checked hash's.
func cost(hash []byte) int {
	n, _ := bcrypt.Cost(hash)
	return n
}

func (e User) check() (*user, error) {
	u := &user{name: e.Name, role: e.Role}
	var faults []error
	switch {
	case e.Name == "":
		faults = append(faults, errors.New("name is required"))
	case len(e.Name) > maxName:
		faults = append(faults, fmt.Errorf("name of more than %d bytes", maxName))
	case e.Name == Anonymous:
		faults = append(faults, errors.New("the name is that of everybody where there are no users"))
	case strings.Contains(e.Name, ":") || strings.ContainsFunc(e.Name, unicode.IsControl):
		faults = append(faults, errors.New("name with a colon or a control character"))
	}
	if _, err := ParseRole(string(e.Role)); err != nil {
		faults = append(faults, err)
	}
	if e.PasswordBcrypt == "" && e.TokenSHA256 == "" {
		faults = append(faults, errors.New("password_bcrypt or token_sha256 is required"))
	}
	if e.PasswordBcrypt != "" {
		cost, err := bcrypt.Cost([]byte(e.PasswordBcrypt))
		switch {
		case err != nil || len(e.PasswordBcrypt) != 60:
			faults = append(faults, errors.New("password_bcrypt is no bcrypt hash"))
		case cost > maxCost:
			faults = append(faults, fmt.Errorf("password_bcrypt has cost %d: want at most %d", cost, maxCost))
		}
		u.bcrypt = []byte(e.PasswordBcrypt)
	}
	if e.TokenSHA256 != "" {
		sum, err := hex.DecodeString(e.TokenSHA256)
		if err != nil || len(sum) != sha256.Size {
			faults = append(faults, errors.New("token_sha256: want 64 hexadecimal digits"))
		} else {
			u.token = (*[sha256.Size]byte)(sum)
		}
	}
	return u, errors.Join(faults...)
}
