// Package front runs a backend for frontend as a process: it reads its configuration
// file, opens the store of its sessions, serves the application's files, and listens.
//
// What a backend for frontend does to a request is package bff's. This one never
// looks into a request but for the path of a file and of the two health endpoints.
package front
