// Package frameworks proves that the middleware of gatehouse/resource works under
// chi, echo and gin as it is. It holds tests only, and is a module of its own, so
// that nobody who uses gatehouse is told of three routers.
package frameworks
