package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// maxCores bounds the affinity mask, in cores.
const maxCores = 1024

type coreMask [maxCores / 64]uint64

func (m *coreMask) has(core int) bool { return m[core/64]&(1<<(core%64)) != 0 }

func maskOf(core int) (m coreMask) {
	m[core/64] = 1 << (core % 64)
	return m
}

func affinity(call uintptr, thread int, mask *coreMask) error {
	_, _, errno := syscall.RawSyscall(call, uintptr(thread), unsafe.Sizeof(*mask), uintptr(unsafe.Pointer(mask)))
	if errno != 0 {
		return fmt.Errorf("processor affinity: %w", errno)
	}
	return nil
}

// cores returns the processor cores that this process may use.
func cores() ([]int, error) {
	var mask coreMask
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, 0, &mask); err != nil {
		return nil, err
	}
	var found []int
	for core := range maxCores {
		if mask.has(core) {
			found = append(found, core)
		}
	}
	return found, nil
}

// startOn starts a command whose process stays on one core.
func startOn(core int, command *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before coreMask
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, 0, &before); err != nil {
		return err
	}
	pinned := maskOf(core)
	if err := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, &pinned); err != nil {
		return err
	}
	err := command.Start() // the child inherits the thread's mask
	if restored := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, &before); err == nil {
		err = restored
	}
	return err
}

// stayOn keeps this process on one core.
func stayOn(core int) error {
	runtime.GOMAXPROCS(1)
	pinned := maskOf(core)
	for range 2 { // threads that began during the first pass
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			if err := affinity(syscall.SYS_SCHED_SETAFFINITY, id, &pinned); err != nil {
				return err
			}
		}
	}
	return nil
}

// cpuOf returns the processor time that a process has used, by its own clock
// (clock_getcpuclockid(3): the inverted process id and the clock's kind).
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2
	clock := uintptr(^pid<<3 | scheduled)
	var at syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&at)), 0); errno != 0 {
		return 0, fmt.Errorf("the processor time of process %d: %w", pid, errno)
	}
	return time.Duration(at.Nano()), nil
}

// ownCPU is the processor time that this process has used, its collector's
// included.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// rssOf returns the resident memory of a process, in bytes.
func rssOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}
