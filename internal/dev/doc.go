// Package dev owns the developer's stage: what `gatehouse dev` starts and
// says, on loopback addresses. That is a server with demonstration users and
// clients; a protected sample API (PhotoAPI), and a second one behind it
// (thumbnails), which PhotoAPI calls with exchanged tokens over mutual TLS; a gateway
// in front of PhotoAPI; an application with a backend for frontend; and the
// playground, a page that walks through an authorization step by step.
//
// Everything on the stage is put there by a tenant file through package
// admin, as anybody could. The package never listens beyond the loopback
// interface, holds no SQL and makes no tokens.
package dev
