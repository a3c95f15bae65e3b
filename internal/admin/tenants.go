package admin

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse"
	"gatehouse/oauth"
)

// CheckTenant says what keeps a tenant from being made; the error begins with
// the name of what is wrong. publicURL is that of the server, "" where it is
// not known: a tenant with an issuer of its own cannot be judged then.
func CheckTenant(tenant gatehouse.TenantRecord, publicURL string) error {
	if err := gatehouse.CheckTenantID(tenant.ID); err != nil {
		return err
	}
	if tenant.ID == gatehouse.DefaultTenant {
		return errors.New("the default tenant is there without being made; it lives at the public URL itself")
	}
	if tenant.Issuer == "" {
		return nil
	}
	if err := oauth.CheckIssuerOrigin(tenant.Issuer); err != nil {
		return fmt.Errorf("the issuer %w", err)
	}
	scheme, host, _ := strings.Cut(publicURL, "://")
	switch {
	case publicURL == "":
		return errors.New("the issuer cannot be compared with the server's public_url, which stands in its configuration")
	case host == tenant.Host():
		return errors.New("the issuer is the public URL, where the default tenant lives; leave it out, or name another host")
	case !strings.HasPrefix(tenant.Issuer, scheme+"://"):
		return fmt.Errorf("the issuer must be an %s URL, as the server's public_url is", scheme)
	}
	return nil
}
