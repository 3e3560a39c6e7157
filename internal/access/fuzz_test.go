package access

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte("users:\n- {name: a, role: read, token_sha256: " + TokenDigest("a") + "}"))
	f.Add([]byte("users: [{name: b, role: admin, password_bcrypt: $2a$10$abcdefghijklmnopqrstuuO1.4W3gkMxPGGDG9G3TZB7ks0PQT9Bu}]"))
	f.Add([]byte("open_metrics: maybe"))
	f.Add([]byte("users: !00000 000"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parse(raw)
		if err != nil {
			return
		}
		require.NotEmpty(t, d.byName)
		for name, u := range d.byName {
			require.Equal(t, name, u.name)
			require.True(t, u.role.Includes(Read))
			require.True(t, u.bcrypt != nil || u.token != nil)
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	p := Open()
	p.path, p.compare = "x", newComparer(time.Now)
	d, err := File{Users: []User{{Name: "ci", Role: Log, TokenSHA256: TokenDigest("tok")}}}.directory()
	require.NoError(f, err)
	p.users.Store(d)
	d.decoy, err = bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	require.NoError(f, err)
	h := p.Wrap(echo())
	for _, seed := range []string{"Bearer tok", "Basic Y2k6dG9r", "Basic", "Bearer", "Basic Og=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = []string{header}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 200 {
			require.Contains(t, []string{"ci/log"}, w.Body.String())
			return
		}
		require.Equal(t, 401, w.Code)
	})
}

func TestAFileOnWhichTheLibraryPanicsIsAnErrorToAdd(t *testing.T) {
	_, err := appended([]byte("users: !00000 000"), User{Name: "a", Role: Read, TokenSHA256: TokenDigest("a")})
	require.ErrorContains(t, err, "not YAML")
}
