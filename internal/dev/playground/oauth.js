// What the protocol asks of a client, without a page around it.

const encoder = new TextEncoder();

export function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

export function fromBase64url(text) {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
}

// 256 random bits as text.
export const randomText = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

// RFC 7636 §4.2, method S256.
export const challengeOf = async (verifier) => base64url(await crypto.subtle.digest('SHA-256', encoder.encode(verifier)));

// OpenID Connect Discovery §4.1: the path is appended to the issuer.
export const metadataURL = (issuer) => issuer.replace(/\/$/, '') + '/.well-known/openid-configuration';

// The authorization request as [name, value, meaning], in the order in which it is sent.
export function authorizationParameters({ config, secrets, scope, prompt }) {
  const rows = [
    ['response_type', 'code', 'Answer with a code. Tokens never travel in URLs.'],
    ['client_id', config.client_id, 'Which application asks. It is public: it has no secret that it could keep.'],
    ['redirect_uri', config.redirect_uri, 'Where to send the answer. It must be registered, octet for octet.'],
    ['scope', scope, scopeMeaning(scope)],
    ['state', secrets.state, 'Comes back untouched, so that a foreign answer is seen.'],
    ['code_challenge', secrets.challenge, 'The hash of the verifier.'],
    ['code_challenge_method', 'S256', 'Which hash: SHA-256.'],
  ];
  if (scope.split(' ').includes('openid')) {
    rows.push(['nonce', secrets.nonce, 'Comes back inside the ID token, which ties it to this sign-in.']);
  }
  if (prompt) {
    rows.push(['prompt', prompt, 'Which page the server shall show, whatever it remembers.']);
  }
  return rows;
}

function scopeMeaning(scope) {
  const names = scope.split(' ');
  const parts = [];
  if (names.includes('openid')) parts.push('openid asks for an ID token');
  if (names.includes('offline_access')) parts.push('offline_access for access while you are away');
  if (names.some((n) => n.startsWith('photos:'))) parts.push('photos: for PhotoAPI');
  return parts.length ? parts.join('; ') + '.' : 'What the client wants to do.';
}

export function urlWith(endpoint, rows) {
  const url = new URL(endpoint);
  for (const [name, value] of rows) url.searchParams.set(name, value);
  return url.href;
}

// The parts of a JWT, or null when the text is none.
export function decodeJWT(token) {
  const parts = token.split('.');
  if (parts.length !== 3) return null;
  const read = (part) => JSON.parse(new TextDecoder().decode(fromBase64url(part)));
  try {
    return { header: read(parts[0]), claims: read(parts[1]), parts };
  } catch {
    return null;
  }
}

// JOSE algorithms (RFC 7518 §3, RFC 8037) in the words of WebCrypto.
const algorithms = {
  RS256: [{ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, { name: 'RSASSA-PKCS1-v1_5' }],
  PS256: [{ name: 'RSA-PSS', hash: 'SHA-256' }, { name: 'RSA-PSS', saltLength: 32 }],
  ES256: [{ name: 'ECDSA', namedCurve: 'P-256' }, { name: 'ECDSA', hash: 'SHA-256' }],
  EdDSA: [{ name: 'Ed25519' }, { name: 'Ed25519' }],
};

// A check is [passed, sentence].
export async function checkSignature(jwt, jwks) {
  const { alg, kid } = jwt.header;
  const key = jwks.keys.find((k) => k.kid === kid);
  if (!algorithms[alg]) return [false, `The algorithm ${alg} is not one that this page accepts.`];
  if (!key) return [false, `The key set has no key ${kid}.`];
  const [imported, verified] = algorithms[alg];
  const { kty, n, e, crv, x, y } = key;
  try {
    const publicKey = await crypto.subtle.importKey('jwk', { kty, n, e, crv, x, y }, imported, false, ['verify']);
    const signed = encoder.encode(jwt.parts[0] + '.' + jwt.parts[1]);
    const valid = await crypto.subtle.verify(verified, publicKey, fromBase64url(jwt.parts[2]), signed);
    return [valid, valid ? `The signature is right: ${alg}, key ${kid} of the published set.` : 'The signature is wrong.'];
  } catch (error) {
    return [false, `The signature could not be checked: ${error.message}`];
  }
}

// OpenID Connect Core §3.1.3.7.
export async function checkIDToken(jwt, { issuer, clientID, nonce, accessToken, now }) {
  const { claims } = jwt;
  const checks = [
    [claims.iss === issuer, 'iss is the issuer that we asked.'],
    [[].concat(claims.aud).includes(clientID), 'aud is this client.'],
    [claims.exp > now, 'exp lies ahead.'],
  ];
  if (nonce) checks.push([claims.nonce === nonce, 'nonce is the one from step 2.']);
  if (claims.at_hash && jwt.header.alg !== 'EdDSA') {
    const digest = await crypto.subtle.digest('SHA-256', encoder.encode(accessToken));
    checks.push([claims.at_hash === base64url(digest.slice(0, 16)), 'at_hash fits the access token that came along.']);
  }
  return checks;
}

// RFC 9068 §4, as the API does it.
export function checkAccessToken(jwt, { issuer, now }) {
  const { header, claims } = jwt;
  return [
    [/^(application\/)?at\+jwt$/i.test(header.typ ?? ''), 'typ says access token, so that no other JWT passes for one.'],
    [claims.iss === issuer, 'iss is the issuer that the API trusts.'],
    [claims.exp > now, 'exp lies ahead.'],
  ];
}

// RFC 6749 §4.1.2, RFC 9207 §2.4.
export function checkCallback(params, { state, issuer }) {
  return [
    [params.get('state') === state, 'state is the one from step 2: the answer is to our question.'],
    [params.get('iss') === issuer, 'iss is the issuer that we asked: no other server mixed itself in.'],
  ];
}

export const claimMeanings = {
  iss: 'who issued it', sub: 'whom it is about; the only lasting name of a user', aud: 'for whom it is meant', exp: 'not valid from then on',
  iat: 'when it was issued', nbf: 'not valid before', jti: 'its own name', client_id: 'to which client it was issued', scope: 'what it allows',
  gid: 'a handle of the grant behind it', sid: 'the session at the server', nonce: 'the text from step 2', auth_time: 'when the user signed in',
  amr: 'how the user signed in', acr: 'how strongly', azp: 'the client that asked', at_hash: 'half a hash of the access token', typ: 'what kind of JWT it is',
  alg: 'how it is signed', kid: 'with which key', name: 'full name', given_name: 'first name', family_name: 'last name', middle_name: 'middle name',
  nickname: 'called', preferred_username: 'likes to be called', profile: 'a page about them', picture: 'a portrait', website: 'their web site',
  email: 'e-mail address', email_verified: 'whether that was checked', gender: 'as they say', birthdate: 'year 0000: they keep it to themselves',
  zoneinfo: 'time zone', locale: 'language', phone_number: 'telephone', phone_number_verified: 'whether that was checked', address: 'where they live',
  updated_at: 'when this last changed', cnf: 'the key it is bound to', act: 'who acts for them',
  lineage: 'of which tokens it was made; it ends with each of them',
};

const times = new Set(['exp', 'iat', 'nbf', 'auth_time', 'updated_at']);

// A claim as [name, value, meaning].
export function claimRow([name, value]) {
  let meaning = claimMeanings[name] ?? '';
  if (times.has(name) && typeof value === 'number') {
    meaning += `: ${new Date(value * 1000).toLocaleTimeString('en-GB')}`;
  }
  if (name === 'birthdate' && !String(value).startsWith('0000')) meaning = 'day of birth';
  return [name, typeof value === 'string' ? value : JSON.stringify(value), meaning];
}
