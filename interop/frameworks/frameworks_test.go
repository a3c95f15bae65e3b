package frameworks

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"gatehouse/jose"
	"gatehouse/resource"
)

const audience = "https://photos.test"

// answer is what every handler of these tests says.
func answer(r *http.Request, album string) string {
	access, found := resource.AccessFrom(r.Context())
	user, _ := access.User()
	return fmt.Sprint(found, " ", user.Subject, " ", album)
}

// routers are the frameworks, each with the same two routes.
func routers(rs *resource.Server) map[string]http.Handler {
	// chi takes net/http's middleware.
	c := chi.NewRouter()
	c.With(rs.Require("photos:read")).Get("/albums/{album}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, answer(r, chi.URLParam(r, "album")))
	})
	c.Group(func(c chi.Router) {
		c.Use(rs.Guard(resource.Needs{Scopes: []string{"photos:write"}, MaxAuthAge: time.Minute}))
		c.Delete("/albums/{album}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	})

	// echo wraps it.
	e := echo.New()
	e.GET("/albums/:album", func(c echo.Context) error {
		return c.String(http.StatusOK, answer(c.Request(), c.Param("album")))
	}, echo.WrapMiddleware(rs.Require("photos:read")))
	e.DELETE("/albums/:album", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) },
		echo.WrapMiddleware(rs.Guard(resource.Needs{Scopes: []string{"photos:write"}, MaxAuthAge: time.Minute})))

	// gin needs five lines.
	gin.SetMode(gin.ReleaseMode)
	g := gin.New()
	under := func(guard func(http.Handler) http.Handler) gin.HandlerFunc {
		return func(c *gin.Context) {
			admitted := false
			guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				admitted, c.Request = true, r
				c.Next()
			})).ServeHTTP(c.Writer, c.Request)
			if !admitted {
				c.Abort()
			}
		}
	}
	g.GET("/albums/:album", under(rs.Require("photos:read")), func(c *gin.Context) {
		c.String(http.StatusOK, answer(c.Request, c.Param("album")))
	})
	g.DELETE("/albums/:album", under(rs.Guard(resource.Needs{Scopes: []string{"photos:write"}, MaxAuthAge: time.Minute})), func(c *gin.Context) {
		c.Status(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
	})
	return map[string]http.Handler{"chi": c, "echo": e, "gin": g}
}

func TestRouters(t *testing.T) {
	key, err := jose.GenerateKey(jose.ES256, "es-1")
	if err != nil {
		t.Fatal(err)
	}
	var issuer *httptest.Server
	issuer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks" {
			_ = json.NewEncoder(w).Encode(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
			return
		}
		_, _ = io.WriteString(w, `{"issuer":"`+issuer.URL+`","jwks_uri":"`+issuer.URL+`/jwks"}`)
	}))
	defer issuer.Close()
	token := func(scope string, signedIn time.Duration) string {
		now := time.Now()
		raw, err := key.Sign(jose.TypeAccessToken, fmt.Appendf(nil,
			`{"iss":%q,"sub":"alice","aud":%q,"client_id":"web","jti":"1","scope":%q,"iat":%d,"exp":%d,"auth_time":%d}`,
			issuer.URL, audience, scope, now.Unix(), now.Add(time.Minute).Unix(), now.Add(-signedIn).Unix()))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	rs, err := resource.New(t.Context(), resource.Config{Issuer: issuer.URL, Audience: audience, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for name, router := range routers(rs) {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				method, token string
				status        int
				challenge     string
			}{
				{http.MethodGet, token("photos:read", 0), 200, ""},
				{http.MethodGet, "", 401, `Bearer realm="gatehouse", scope="photos:read"`},
				{http.MethodGet, "x", 401, `error="invalid_token"`},
				{http.MethodGet, token("photos:write", 0), 403, `error="insufficient_scope"`},
				{http.MethodDelete, token("photos:write", 0), 204, ""},
				{http.MethodDelete, token("photos:read", 0), 403, `scope="photos:write"`},
				{http.MethodDelete, token("photos:write", time.Hour), 401, `max_age="60"`},
				{http.MethodDelete, "", 401, "Bearer"},
			} {
				r := httptest.NewRequest(test.method, "/albums/summer", nil)
				if test.token != "" {
					r.Header.Set("Authorization", "Bearer "+test.token)
				}
				w := httptest.NewRecorder()
				router.ServeHTTP(w, r)
				challenge := w.Header().Get("WWW-Authenticate")
				if w.Code != test.status || !strings.Contains(challenge, test.challenge) || (test.challenge == "") != (challenge == "") {
					t.Errorf("%s: %d %s, want %d %s", test.method, w.Code, challenge, test.status, test.challenge)
				}
				if test.status == 200 && w.Body.String() != "true alice summer" {
					t.Errorf("the handler says %q", w.Body)
				}
			}
		})
	}
}
