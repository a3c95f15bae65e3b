package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// What a stored hash may ask of us. An imported one is somebody else's choice, and it must not be
// able to take the machine's memory or keep a slot for long.
const (
	maxMemoryKiB     = 256 * 1024
	maxPasses        = 16
	maxThreads       = 16
	maxPassMemoryKiB = 1024 * 1024 // memory × passes: about a second
	maxBcryptCost    = 14          // about a second

	minSaltBytes, maxSaltBytes = 8, 64
	minHashBytes, maxHashBytes = 16, 64
	maxPHCBytes                = 512
)

const bcryptBytes = 60

// argonHash is a parsed "$argon2id$" string.
type argonHash struct {
	memoryKiB uint32
	passes    uint32
	threads   uint8
	salt      []byte
	hash      []byte
}

// ParsePHC says whether a stored password hash is one that Verify can check: argon2id (version 19)
// in PHC form or bcrypt ($2a$, $2b$, $2y$), within the bounds on memory and time. The error says what
// is wrong and never contains the hash.
func ParsePHC(phc string) error {
	if isBcrypt(phc) {
		return checkBcrypt(phc)
	}
	_, err := parseArgon(phc)
	return err
}

func isBcrypt(phc string) bool {
	return strings.HasPrefix(phc, "$2a$") || strings.HasPrefix(phc, "$2b$") || strings.HasPrefix(phc, "$2y$")
}

func checkBcrypt(phc string) error {
	if len(phc) != bcryptBytes {
		return fmt.Errorf("password hash: a bcrypt hash has %d characters, not %d", bcryptBytes, len(phc))
	}
	cost, err := bcrypt.Cost([]byte(phc))
	if err != nil {
		return errors.New("password hash: the bcrypt cost is not one of 04 to 31")
	}
	if cost > maxBcryptCost {
		return fmt.Errorf("password hash: bcrypt cost %d is above the largest accepted, %d", cost, maxBcryptCost)
	}
	for _, c := range phc[7:] {
		if !strings.ContainsRune("./"+alphabet, c) {
			return errors.New("password hash: the bcrypt hash has a character outside ./A-Za-z0-9")
		}
	}
	return nil
}

func parseArgon(phc string) (argonHash, error) {
	var none argonHash
	if len(phc) > maxPHCBytes {
		return none, fmt.Errorf("password hash: longer than %d characters", maxPHCBytes)
	}
	fields := strings.Split(phc, "$")
	if len(fields) < 2 || fields[0] != "" || fields[1] != "argon2id" {
		return none, errors.New("password hash: neither argon2id ($argon2id$v=19$m=...,t=...,p=...$salt$hash) nor bcrypt ($2b$...)")
	}
	if len(fields) != 6 {
		return none, errors.New("password hash: argon2id needs five parts: $argon2id$v=19$m=...,t=...,p=...$salt$hash")
	}
	if fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return none, fmt.Errorf("password hash: only argon2id version %d is accepted (v=%[1]d)", argon2.Version)
	}
	parameters := strings.Split(fields[3], ",")
	if len(parameters) != 3 {
		return none, errors.New("password hash: the argon2id parameters must be m=...,t=...,p=... in this order")
	}
	memory, err := parameter(parameters[0], "m", 8, maxMemoryKiB)
	if err != nil {
		return none, err
	}
	passes, err := parameter(parameters[1], "t", 1, maxPasses)
	if err != nil {
		return none, err
	}
	threads, err := parameter(parameters[2], "p", 1, maxThreads)
	if err != nil {
		return none, err
	}
	if memory < 8*threads { // RFC 9106 §3.1
		return none, fmt.Errorf("password hash: m=%d is below 8 KiB for each of p=%d lanes", memory, threads)
	}
	if memory*passes > maxPassMemoryKiB {
		return none, fmt.Errorf("password hash: m × t = %d is above the largest accepted, %d", memory*passes, maxPassMemoryKiB)
	}
	salt, err := base64Field(fields[4], "salt", minSaltBytes, maxSaltBytes)
	if err != nil {
		return none, err
	}
	hash, err := base64Field(fields[5], "hash", minHashBytes, maxHashBytes)
	if err != nil {
		return none, err
	}
	return argonHash{memoryKiB: uint32(memory), passes: uint32(passes), threads: uint8(threads), salt: salt, hash: hash}, nil
}

// parameter reads name=decimal without sign or leading zero.
func parameter(text, name string, least, most uint64) (uint64, error) {
	digits, found := strings.CutPrefix(text, name+"=")
	value, err := strconv.ParseUint(digits, 10, 32)
	if !found || err != nil || strconv.FormatUint(value, 10) != digits {
		return 0, fmt.Errorf("password hash: the argon2id parameter %s must be written %s=NUMBER", name, name)
	}
	if value < least || value > most {
		return 0, fmt.Errorf("password hash: %s=%d is outside %d to %d", name, value, least, most)
	}
	return value, nil
}

func base64Field(text, name string, least, most int) ([]byte, error) {
	// The decoder passes over line ends, which have no place here.
	value, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("password hash: the argon2id %s is not base64 without padding", name)
	}
	if len(value) < least || len(value) > most {
		return nil, fmt.Errorf("password hash: the argon2id %s has %d bytes, outside %d to %d", name, len(value), least, most)
	}
	return value, nil
}

func (a argonHash) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, a.memoryKiB, a.passes, a.threads, encode(a.salt), encode(a.hash))
}
