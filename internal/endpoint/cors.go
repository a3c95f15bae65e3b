package endpoint

import (
	"net/http"
	"strings"
)

// Headers that browser clients of the protocol send and read.
const (
	corsAllowHeaders  = "Authorization, DPoP, Content-Type, MCP-Protocol-Version, Mcp-Method, Mcp-Name"
	corsExposeHeaders = "WWW-Authenticate, DPoP-Nonce, Retry-After"
	corsMaxAge        = "3600" // seconds
)

// allowOrigin sets the CORS headers of an answer. It says false when it has
// answered itself, because the origin could not be looked up.
func (m *Mux) allowOrigin(w http.ResponseWriter, r *Request, row *Row) bool {
	header := w.Header()
	if row.CORS == AnyOrigin {
		header["Access-Control-Allow-Origin"], header["Access-Control-Expose-Headers"] = m.constants.anyOrigin, m.constants.exposed
		return true
	}
	header.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return true
	}
	known, err := m.config.Origins.KnownOrigin(r.Context(), r.Tenant.ID, origin)
	if err != nil {
		m.refuse(w, r, row, err)
		return false
	}
	if known {
		// No Access-Control-Allow-Credentials: these endpoints take no cookie.
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Expose-Headers", corsExposeHeaders)
	}
	return true
}

func (m *Mux) preflight(w http.ResponseWriter, r *Request, row *Row, methods []string) {
	if !m.allowOrigin(w, r, row) {
		return
	}
	header := w.Header()
	if header.Get("Access-Control-Allow-Origin") != "" {
		header.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		header.Set("Access-Control-Allow-Headers", corsAllowHeaders)
		header.Set("Access-Control-Max-Age", corsMaxAge)
	}
	w.WriteHeader(http.StatusNoContent)
}
