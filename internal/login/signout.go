package login

import (
	"net/http"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
)

func (e *Endpoints) showSignOut(w http.ResponseWriter, r *endpoint.Request) error {
	someone, found, err := e.current(w, r)
	if err != nil {
		return err
	}
	if !found {
		e.Pages.LoggedOut(w, r)
		return nil
	}
	e.Pages.LogoutConfirm(w, r, person(someone.User))
	return nil
}

// signOut ends the browser's session and says so. It never redirects: whom it
// would please to send people elsewhere is not known here.
func (e *Endpoints) signOut(w http.ResponseWriter, r *endpoint.Request) error {
	if err := sameOrigin(r); err != nil {
		return err
	}
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	if err := e.genuine(r, form, signOutForm, interaction.Interaction{}); err != nil {
		return err
	}
	someone, found, err := e.current(w, r)
	if err != nil {
		return err
	}
	if found {
		if _, err := e.Store.EndSession(r.Context(), r.Tenant.ID, someone.ID, gatehouse.EndedByLogout, r.Circumstance()); err != nil {
			return err
		}
		e.box.ClearSession(w, r)
	}
	e.Pages.LoggedOut(w, r)
	return nil
}
