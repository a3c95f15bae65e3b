// Package xoauth2 joins package client with golang.org/x/oauth2, in both
// directions: for libraries that want an oauth2.TokenSource, and for tokens that
// come from one. It is a package of its own, so that programs which need neither do
// not build that module.
//
// It never hands out a refresh token: rotation belongs to one owner.
package xoauth2
