// Package config reads strict YAML and environment variables into any struct.
package config
