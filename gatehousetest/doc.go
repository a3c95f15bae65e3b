// Package gatehousetest runs the whole authorization server inside a test
// process, with a browser that keeps cookies and fills in the forms.
//
// No network is used: requests go straight to the handler, so that tests may
// run inside a testing/synctest bubble and let months pass.
package gatehousetest
