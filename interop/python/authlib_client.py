"""Debian's python3-authlib against a running gatehouse.

Started by `go test ./interop` with what it needs to know in GATEHOUSE_INTEROP. Every check
prints "ok NAME" or "not ok NAME: reason".
"""

import html.parser
import json
import os
import sys
import traceback
import urllib.parse

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebToken
from authlib.jose.errors import JoseError
from authlib.oauth2.rfc6749 import MismatchingStateException
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken, UserInfo

TOLD = json.loads(os.environ["GATEHOUSE_INTEROP"])
ISSUER = TOLD["dev"]["issuer"]
API = TOLD["dev"]["api"]
REDIRECT_URI = TOLD["callback"] + "/callback"
PIA = {"username": "pia", "password": "a parcel from the far north"}
SUB = "user-pia"
WITHIN = 10  # seconds, for each request
PAGES_AT_MOST = 12  # redirects and forms of one authorization


class Forms(html.parser.HTMLParser):
    """The forms of a page: their action and their inputs."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.forms.append({"action": attrs.get("action", ""), "inputs": {}, "ids": set()})
        if self.forms and "id" in attrs:
            self.forms[-1]["ids"].add(attrs["id"])
        if self.forms and tag == "input" and "name" in attrs:
            self.forms[-1]["inputs"][attrs["name"]] = attrs.get("value", "")


def walk(address):
    """Goes through the pages as a person would; returns the redirect URI as it was reached."""
    browser = requests.Session()
    answer = browser.get(address, allow_redirects=False, timeout=WITHIN)
    for _ in range(PAGES_AT_MOST):
        if answer.is_redirect:
            target = urllib.parse.urljoin(answer.url, answer.headers["Location"])
            if target.startswith(REDIRECT_URI):
                return target
            answer = browser.get(target, allow_redirects=False, timeout=WITHIN)
            continue
        for form in Forms(answer.text).forms:
            if "login-submit" in form["ids"]:
                values = {**form["inputs"], **PIA}
            elif "consent-allow" in form["ids"]:
                values = {**form["inputs"], "decision": "allow"}
            else:
                continue
            target = urllib.parse.urljoin(answer.url, form["action"])
            origin = ISSUER.rstrip("/")
            answer = browser.post(target, values, headers={"Origin": origin}, allow_redirects=False, timeout=WITHIN)
            break
        else:
            raise AssertionError(f"stopped at {answer.url} with {answer.status_code}")
    raise AssertionError("too many pages")


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, want {wanted!r}"


def refused(body, error, wanted=None):
    """Runs what must fail with that kind of error, and with that error code of OAuth."""
    try:
        body()
    except error as refusal:
        if wanted is not None:
            equal(refusal.error, wanted)
        return
    raise AssertionError("was not refused")


def session(kind, scope, **more):
    client_id = f"interop-{kind}"
    method = f"client_secret_{'post' if kind == 'post' else 'basic'}"
    return OAuth2Session(
        client_id, f"{client_id}-0123456789abcdefghijklmnop", scope=scope, redirect_uri=REDIRECT_URI,
        token_endpoint_auth_method=method, revocation_endpoint_auth_method=method,
        code_challenge_method="S256", default_timeout=WITHIN, **more,
    )


class Checks:
    """The checks, in the order in which they run; later ones go on with what earlier ones got."""

    def discovery(self):
        self.meta = AuthorizationServerMetadata(requests.get(ISSUER + "/.well-known/oauth-authorization-server", timeout=WITHIN).json())
        equal(self.meta["issuer"], ISSUER)
        # Authlib's own checks of RFC 8414, without those that demand https of every address.
        for name in self.meta.REGISTRY_KEYS:
            if not name.endswith(("_endpoint", "issuer", "_uri")):
                getattr(self.meta, "validate_" + name)()
        self.keys = requests.get(self.meta["jwks_uri"], timeout=WITHIN).json()

    def begin(self, client):
        verifier, nonce = generate_token(48), generate_token(24)
        address, state = client.create_authorization_url(self.meta["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
        return verifier, nonce, state, walk(address)

    def redeem(self, client, verifier, state, reached):
        return client.fetch_token(self.meta["token_endpoint"], authorization_response=reached, state=state, code_verifier=verifier)

    def id_token(self, client, token, nonce):
        claims = JsonWebToken(["RS256"]).decode(
            token["id_token"], self.keys, claims_cls=CodeIDToken,
            claims_options={"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": client.client_id}},
            claims_params={"nonce": nonce, "client_id": client.client_id, "access_token": token["access_token"]},
        )
        claims.validate()
        return claims

    def introspect(self, token):
        client = session("post" if token is self.post_token else "web", None)
        answer = client.introspect_token(self.meta["introspection_endpoint"], token=token["access_token"])
        equal(answer.status_code, 200)
        return answer.json()

    def code_pkce_basic(self):
        self.client = session("web", "openid profile email photos:read", token_endpoint=self.meta["token_endpoint"])
        verifier, self.nonce, state, reached = self.begin(self.client)
        self.token = self.redeem(self.client, verifier, state, reached)
        equal(sorted(self.token["scope"].split()), ["email", "openid", "photos:read", "profile"])

    def code_pkce_post(self):
        client = session("post", "openid")
        verifier, nonce, state, reached = self.begin(client)
        self.post_token = self.redeem(client, verifier, state, reached)
        equal(self.id_token(client, self.post_token, nonce)["sub"], SUB)

    def id_token_claims(self):
        claims = self.id_token(self.client, self.token, self.nonce)
        equal([claims["iss"], claims["sub"], claims["aud"]], [ISSUER, SUB, "interop-web"])

    def id_token_other_nonce_refused(self):
        refused(lambda: self.id_token(self.client, self.token, generate_token(24)), JoseError)

    def id_token_other_signature_refused(self):
        head, _, signature = self.token["id_token"].rpartition(".")
        other = {**self.token, "id_token": head + "." + ("B" if signature[0] == "A" else "A") + signature[1:]}
        refused(lambda: self.id_token(self.client, other, self.nonce), JoseError)

    def other_state_refused(self):
        verifier, _, state, reached = self.begin(self.client)
        refused(lambda: self.redeem(session("web", "openid"), verifier, state + "x", reached), MismatchingStateException)
        assert self.redeem(session("web", "openid"), verifier, state, reached)["access_token"]

    def wrong_verifier_refused(self):
        verifier, _, state, reached = self.begin(self.client)
        client = session("web", "openid")
        refused(lambda: self.redeem(client, generate_token(48), state, reached), OAuthError, "invalid_grant")
        assert self.redeem(client, verifier, state, reached)["access_token"]

    def userinfo(self):
        info = UserInfo(self.client.get(self.meta["userinfo_endpoint"]).json())
        equal([info.sub, info.name, info.email, info.email_verified], [SUB, "Pia Python", "pia@example.com", True])

    def api_call(self):
        equal(self.client.get(API + "/photos").status_code, 200)
        equal(requests.get(API + "/photos", timeout=WITHIN).status_code, 401)

    def introspection(self):
        for token, client_id in ((self.token, "interop-web"), (self.post_token, "interop-post")):
            answer = self.introspect(token)
            equal([answer["active"], answer["sub"], answer["client_id"]], [True, SUB, client_id])

    def refresh(self):
        before = self.token
        self.token = self.client.refresh_token(self.meta["token_endpoint"])  # repeats the scopes
        assert self.token["access_token"] != before["access_token"]
        assert self.token["refresh_token"] != before["refresh_token"]
        equal(self.id_token(self.client, self.token, None)["sub"], SUB)

    def refresh_by_itself(self):
        before = self.client.token["access_token"]
        self.client.token = {**self.token, "expires_at": 1}
        equal(self.client.get(API + "/photos").status_code, 200)
        self.token = self.client.token
        assert self.token["access_token"] != before, "the library did not refresh"

    def revocation(self):
        for hint, token in (("access_token", self.token), ("refresh_token", self.post_token)):
            client = session("post" if token is self.post_token else "web", None)
            assert self.introspect(token)["active"]
            answer = client.revoke_token(self.meta["revocation_endpoint"], token=token[hint], token_type_hint=hint)
            equal(answer.status_code, 200)
            equal(self.introspect(token), {"active": False})
        equal(self.client.get(self.meta["userinfo_endpoint"]).status_code, 401)
        refused(lambda: client.refresh_token(self.meta["token_endpoint"], self.post_token["refresh_token"]), OAuthError, "invalid_grant")

    def wrong_secret_refused(self):
        client = session("post", "photos:read")
        client.client_secret += "x"
        refused(lambda: client.fetch_token(self.meta["token_endpoint"], grant_type="client_credentials"), OAuthError, "invalid_client")

    def client_credentials(self):
        client = session("post", "photos:read")
        token = client.fetch_token(self.meta["token_endpoint"], grant_type="client_credentials")
        equal([token["scope"], "refresh_token" in token], ["photos:read", False])
        equal(client.get(API + "/photos").status_code, 200)


# In this order; the harness asserts the same list.
ORDER = [
    "discovery", "code_pkce_basic", "code_pkce_post", "id_token_claims", "id_token_other_nonce_refused",
    "id_token_other_signature_refused", "other_state_refused", "wrong_verifier_refused", "userinfo", "api_call",
    "introspection", "refresh", "refresh_by_itself", "revocation", "wrong_secret_refused", "client_credentials",
]


def main():
    checks, failures = Checks(), 0
    for order in ORDER:
        name = order.replace("_", "-")
        try:
            getattr(checks, order)()
            print("ok", name)
        except Exception as failure:
            failures += 1
            print(f"not ok {name}:", " ".join(f"{type(failure).__name__} {failure}".split()))
            traceback.print_exc()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
