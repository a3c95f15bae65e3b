// What a page does with its backend for frontend. There are no tokens here and none
// to be had: the browser holds a cookie that scripts cannot read.
//
//   import { user, login, logout, api } from '/bff/bff.js';
//   const who = await user();                      // null when nobody is signed in
//   if (!who) login();                             // leaves the page, and comes back to it
//   const photos = await api('/api/photos').then((r) => r.json());
//
// The module's own address tells where the endpoints are; connect() is for those that
// are elsewhere.

/** Nobody is signed in, or no longer. */
export class LoginRequired extends Error {
  constructor(loginURL, loginURLs) {
    super('Nobody is signed in.');
    this.name = 'LoginRequired';
    this.loginURL = loginURL;
    /** By the issuers' names, where there are several. */
    this.loginURLs = loginURLs ?? {};
  }
}

/** The backend refused, or could not answer; code is the member error of its JSON. */
export class Refused extends Error {
  constructor(status, code, description, retryAfter) {
    super(description || `The backend answered with ${status}.`);
    this.name = 'Refused';
    this.status = status;
    this.code = code;
    /** In seconds; 0 if nothing was said. Nothing is lost: ask again then. */
    this.retryAfter = retryAfter;
  }
}

/** Makes the functions for a backend whose endpoints are at other paths. */
export function connect({ base, header = 'X-CSRF' }) {
  const at = (name) => new URL(`${base.replace(/\/$/, '')}/${name}`, location.href);
  let loginURL = at('login');

  // Our origin alone is sent the header, and nothing of another origin is taken for
  // the backend's word.
  async function send(target, options = {}) {
    const request = new Request(target, { credentials: 'same-origin', ...options });
    if (new URL(request.url).origin !== location.origin) {
      throw new TypeError('The backend serves addresses of the page’s own origin only.');
    }
    request.headers.set(header, '1');
    return fetch(request);
  }

  async function refusal(response) {
    let body = {};
    try {
      body = await response.clone().json();
    } catch {
      // an answer of somebody else
    }
    if (response.status === 401 && body.error === 'login_required') {
      loginURL = new URL(body.login_url, location.href);
      return new LoginRequired(loginURL.href, body.login_urls);
    }
    return new Refused(response.status, body.error, body.error_description, Number(response.headers.get('Retry-After')) || 0);
  }

  /** Is fetch for the APIs behind the backend. Throws LoginRequired; all other answers are the API's own. */
  async function api(target, options) {
    const response = await send(target, options);
    if (response.status === 401) {
      const why = await refusal(response);
      if (why instanceof LoginRequired) throw why;
    }
    return response;
  }

  /** Who is signed in: { claims, issuer, began, ends }, or null. */
  async function user() {
    const response = await send(at('user'), { cache: 'no-store' });
    if (response.ok) return response.json();
    const why = await refusal(response);
    if (why instanceof LoginRequired) return null;
    throw why;
  }

  /** Leaves the page for the sign-in, and returns to it, or to another path. */
  function login({ returnTo = location.pathname + location.search + location.hash, issuer, maxAge, acrValues } = {}) {
    const target = new URL(loginURL);
    target.searchParams.set('return_to', returnTo);
    if (issuer) target.searchParams.set('issuer', issuer);
    if (maxAge !== undefined) target.searchParams.set('max_age', String(maxAge));
    if (acrValues) target.searchParams.set('acr_values', acrValues);
    location.assign(target);
  }

  /** Signs out, here and at the issuer, and leaves the page. */
  async function logout() {
    const response = await send(at('logout'), { method: 'POST' });
    if (!response.ok) throw await refusal(response);
    const { logout_url: next } = await response.json();
    location.assign(next);
  }

  return { api, user, login, logout };
}

export const { api, user, login, logout } = connect({ base: new URL('.', import.meta.url).pathname });
