// Package resourcemcp protects servers of the Model Context Protocol that are
// built with its Go SDK: requests are let through as package resource does it, with
// the challenges that MCP clients read, and tools find out who calls.
//
// The package checks no token by itself and knows nothing of tools.
package resourcemcp
