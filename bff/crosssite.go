package bff

import (
	"net/http"

	"gatehouse/internal/proxy"
)

// sameOrigin refuses what a browser says that another origin made. SameSite alone
// would let sibling domains through (RFC 10017 §6.1.3.3.1).
func (b *BFF) sameOrigin(r *http.Request) (refusal, bool) {
	if sites, told := r.Header["Sec-Fetch-Site"]; told && (len(sites) != 1 || sites[0] != "same-origin") {
		return crossSite("Another site made this request, or a person who opened the address."), false
	}
	if origins, told := r.Header["Origin"]; told && (len(origins) != 1 || origins[0] != b.config.URL) {
		return crossSite("Another origin made this request."), false
	}
	return refusal{}, true
}

// fromOurPage refuses what no page of the application can have made: everything has
// the header that other origins cannot send without being allowed to, which nobody is
// (RFC 10017 §6.1.3.3.3).
func (b *BFF) fromOurPage(r *http.Request) (refusal, bool) {
	if why, same := b.sameOrigin(r); !same {
		return why, false
	}
	if !b.hasHeader(r) {
		return crossSite("The request needs the header " + b.config.CSRFHeader + ": 1."), false
	}
	return refusal{}, true
}

func (b *BFF) hasHeader(r *http.Request) bool {
	values := r.Header.Values(b.config.CSRFHeader)
	return len(values) == 1 && values[0] == "1"
}

// streamFromOurPage is fromOurPage for EventSource and WebSocket, which cannot set
// headers: an EventSource must be told to be of the same origin, and a WebSocket, of
// which not every browser tells that, must name ours.
func (b *BFF) streamFromOurPage(r *http.Request) (refusal, bool) {
	why, same := b.sameOrigin(r)
	if !same {
		return why, false
	}
	upgrades, _ := proxy.Upgrades(r)
	switch {
	case upgrades && r.Header.Get("Origin") == "": // RFC 6455 §10.2
		return crossSite("A WebSocket needs an Origin."), false
	case upgrades, b.hasHeader(r):
		return refusal{}, true
	case r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Site") == "same-origin":
		return refusal{}, true
	}
	return b.fromOurPage(r)
}

// postedByOurPage is for a form of the application, which cannot set headers either:
// the browser must say where it comes from.
func (b *BFF) postedByOurPage(r *http.Request) (refusal, bool) {
	why, same := b.sameOrigin(r)
	if !same {
		return why, false
	}
	if !b.hasHeader(r) && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return crossSite("The request needs the header " + b.config.CSRFHeader + ": 1, or an Origin."), false
	}
	return refusal{}, true
}
