// Package maxmind tells a gateway the countries of addresses by a file in MaxMind's
// format, which its operator gets and replaces: GeoLite2-Country, GeoIP2-Country, or
// another one whose records have country.iso_code.
//
// It never fetches anything. It is a package of its own, so that who has no rule about
// countries does not build it.
package maxmind
