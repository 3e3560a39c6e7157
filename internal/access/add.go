package access

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/bcrypt"
)

// HashPassword returns what the users file holds of a password: a bcrypt hash of the default cost, 10. A password of more than 72 bytes is
// an error.
func HashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

// Entry is the user as a line or more of the users file's list.
func (e User) Entry() string { return e.entry("  ") }

func (e User) entry(indent string) string {
	out := fmt.Sprintf("%[1]s- name: %[2]q\n%[1]s  role: %[3]s\n", indent, e.Name, e.Role)
	if e.PasswordBcrypt != "" {
		out += fmt.Sprintf("%s  password_bcrypt: %q\n", indent, e.PasswordBcrypt)
	}
	if e.TokenSHA256 != "" {
		out += fmt.Sprintf("%s  token_sha256: %q\n", indent, e.TokenSHA256)
	}
	return out
}

// listItem finds the indentation of the users there are.
var listItem = regexp.MustCompile(`(?m)^([ \t]*)- `)

// AddUser adds a user to the file at path, which is made, readable by its owner alone, if it isn't there. Comments stay. The file
// is replaced as a whole, so that a server never reads half of it. A name that is taken is an error, and so is a file with faults.
func AddUser(path string, u User) error {
	raw, err := readFile(path)
	mode := fs.FileMode(0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		raw = []byte("# Users of the registry. Roles: read < log < register < promote < admin.\nusers:\n")
	case err != nil:
		return err
	default:
		if _, err := parse(raw); err != nil {
			return fmt.Errorf("users file %s: %w", path, err)
		}
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("users file: %w", err)
		}
		mode = info.Mode().Perm()
	}
	next, err := appended(raw, u)
	if err != nil {
		return fmt.Errorf("users file %s: %w", path, err)
	}
	return replaceFile(path, next, mode)
}

// appended returns the file with u at the end of its list: as text, so that comments stay, or written anew if the list is not the last thing in
// it.
func appended(raw []byte, u User) ([]byte, error) {
	indent := "  "
	if found := listItem.FindSubmatch(raw); found != nil {
		indent = string(found[1])
	}
	text := append(append(bytes.TrimRight(raw, "\n"), '\n'), u.entry(indent)...)
	d, err := parse(text)
	if err == nil && d.byName[u.Name] != nil {
		return text, nil
	}
	f, unread := decode(raw)
	if unread != nil {
		return nil, err
	}
	f.Users = append(f.Users, u)
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return yaml.Marshal(f)
}

// replaceFile puts content in the place of the file at path in one step.
func replaceFile(path string, content []byte, mode fs.FileMode) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".users-*")
	if err != nil {
		return fmt.Errorf("write users file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the error that matters is the other one
		}
	}()
	_, werr := tmp.Write(content)
	err = errors.Join(werr, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write users file: %w", err)
	}
	return nil
}
