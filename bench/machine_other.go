//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"time"
)

var errPlatform = errors.New("the measurement needs Linux: it reads /proc and pins processes to cores")

func cores() ([]int, error) { return nil, errPlatform }

func startOn(int, *exec.Cmd) error { return errPlatform }

func stayOn(int) error { return errPlatform }

func cpuOf(int) (time.Duration, error) { return 0, errPlatform }

func ownCPU() time.Duration { return 0 }

func rssOf(int) (int64, error) { return 0, errPlatform }
