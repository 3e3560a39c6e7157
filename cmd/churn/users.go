package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fatih/color"

	"telco-churn-mlops/internal/access"
)

// maxPassword is what bcrypt looks at, in bytes.
const maxPassword = 72

type usersCmd struct {
	Add usersAddCmd `cmd:"" help:"Add a user of the registry and print the password or token made for it."`
}

type usersAddCmd struct {
	Name          string `arg:"" help:"The user's name."`
	Role          string `name:"role" required:"" enum:"read,log,register,promote,admin" help:"What the user may do, each including those before: ${enum}."`
	Token         bool   `name:"token" help:"Make a token for programs (Authorization: Bearer) instead of a password."`
	PasswordStdin bool   `name:"password-stdin" help:"Read the password from standard input instead of making one."`
	AccessFile    string `name:"access-file" env:"CHURN_ACCESS_FILE" help:"Users of the registry with their roles, YAML (\"churn users add\" writes it); read again when it changes." placeholder:"FILE"`
}

// Run adds the user to the file, or prints its entry where no file is named. The secret is printed once and stored nowhere; beside an
// entry it goes to standard error, so that the entry can be appended to a file.
func (c usersAddCmd) Run(r *run) error {
	if c.Token && c.PasswordStdin {
		return errors.New("--token and --password-stdin: want one of them")
	}
	user, secret, err := c.user(r.in)
	if err != nil {
		return err
	}
	if err := (access.File{Users: []access.User{user}}).Validate(); err != nil {
		return err
	}
	if c.AccessFile == "" {
		if _, err := io.WriteString(r.out, user.Entry()); err != nil {
			return err
		}
		return c.told(r, r.errs, secret)
	}
	if err := access.AddUser(c.AccessFile, user); err != nil {
		return err
	}
	return c.told(r, r.out, secret)
}

// user makes the entry and returns the secret that it was made for; empty if the caller knows it.
func (c usersAddCmd) user(in io.Reader) (u access.User, secret string, err error) {
	u = access.User{Name: c.Name, Role: access.Role(c.Role)}
	if c.Token {
		secret = "churn_" + rand.Text()
		u.TokenSHA256 = access.TokenDigest(secret)
		return u, secret, nil
	}
	password := rand.Text()
	if c.PasswordStdin {
		raw, err := io.ReadAll(io.LimitReader(in, 1024))
		if err != nil {
			return u, "", fmt.Errorf("read password: %w", err)
		}
		password = strings.TrimRight(string(raw), "\r\n")
		if len(password) < 8 || len(password) > maxPassword {
			return u, "", fmt.Errorf("password of %d bytes: want 8 to %d", len(password), maxPassword)
		}
	} else {
		secret = password
	}
	u.PasswordBcrypt, err = access.HashPassword(password)
	return u, secret, err
}

func (c usersAddCmd) told(r *run, w io.Writer, secret string) error {
	kind := "password"
	if c.Token {
		kind = "token"
	}
	if r.JSON {
		out := *r
		out.out = w
		return out.json(map[string]string{"name": c.Name, "role": c.Role, kind: secret})
	}
	where := ""
	if c.AccessFile != "" {
		where = " in " + shown(c.AccessFile)
	}
	if secret == "" {
		_, err := fmt.Fprintf(w, "%s is a user with role %s%s\n", c.Name, c.Role, where)
		return err
	}
	_, err := fmt.Fprintf(w, "%s is a user with role %s%s; the %s, shown this once:\n%s\n", c.Name, c.Role, where, kind, color.New(color.Bold).Sprint(secret))
	return err
}
