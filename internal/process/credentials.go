package process

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse/client"
	"gatehouse/internal/secret"
)

// Credentials are a client's id at an issuer, and what it proves itself with there.
type Credentials struct {
	ClientID string `yaml:"client_id"`
	// ClientSecret or the secret in ClientSecretFile, or the key in PrivateKeyFile.
	ClientSecret     secret.String `yaml:"client_secret"`
	ClientSecretFile string        `yaml:"client_secret_file"`
	// PrivateKeyFile is PKCS #8 in PEM, of the algorithm and with the key id that are
	// registered.
	PrivateKeyFile string `yaml:"private_key_file"`
	PrivateKeyAlg  string `yaml:"private_key_alg"`
	PrivateKeyID   string `yaml:"private_key_id"`
}

// Paths are the files that are named.
func (c *Credentials) Paths() []*string { return []*string{&c.ClientSecretFile, &c.PrivateKeyFile} }

// Check says what is wrong, as far as that can be known without the files. why is the
// reason for a proof; about begins each complaint.
func (c Credentials) Check(about, why string) error {
	var problems []error
	complain := func(text string) { problems = append(problems, fmt.Errorf("%s %s", about, text)) }
	proofs := 0
	for _, set := range []bool{!c.ClientSecret.IsZero(), c.ClientSecretFile != "", c.PrivateKeyFile != ""} {
		if set {
			proofs++
		}
	}
	if proofs != 1 {
		complain("needs one of client_secret, client_secret_file and private_key_file: " + why)
	}
	if (c.PrivateKeyFile == "") != (c.PrivateKeyAlg == "") {
		complain("needs private_key_file and private_key_alg together")
	}
	if Placeholder(c.ClientSecret) {
		complain("has a client_secret that is the example's placeholder")
	}
	return errors.Join(problems...)
}

// Placeholder says whether a secret is one that only an example can have.
func Placeholder(s secret.String) bool {
	text := strings.ToLower(s.Reveal())
	for _, of := range []string{"better in", "rather in", "change-me", "changeme"} {
		if strings.Contains(text, of) {
			return true
		}
	}
	return false
}

// Prove reads the files and completes the configuration of the client.
func (c Credentials) Prove(to *client.Config) (err error) {
	to.ClientID, to.ClientSecret = c.ClientID, c.ClientSecret
	if c.ClientSecretFile != "" {
		if to.ClientSecret, err = Secret(c.ClientSecretFile); err != nil {
			return fmt.Errorf("client_secret_file: %w", err)
		}
	}
	if c.PrivateKeyFile != "" {
		if to.PrivateKey, err = PrivateKey(c.PrivateKeyFile, c.PrivateKeyAlg, c.PrivateKeyID); err != nil {
			return fmt.Errorf("private_key_file: %w", err)
		}
	}
	return nil
}
