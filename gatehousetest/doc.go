// Package gatehousetest runs the whole authorization server inside a test
// process, with a browser that keeps cookies and fills in the forms.
//
// No network is used: requests go straight to the handler, so that tests may
// run inside a testing/synctest bubble and let months pass.
//
// [StartPicture] runs the others beside it, on loopback addresses: an application
// behind a backend for frontend, a gateway, an API, and a second API that the first
// one calls with exchanged tokens over mutual TLS. A test puts its own handlers in their places,
// and sees which tokens they were called with.
package gatehousetest
