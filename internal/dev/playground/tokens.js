// Tokens as cards.

import * as oauth from './oauth.js';
import { checks, code, el, facts, folded, paragraph, rawJWT } from './view.js';

const tolerance = 5; // seconds that two clocks may differ

export function tokenCard(name, sentence, jwt, list) {
  const rows = (part) => Object.entries(part).map(oauth.claimRow);
  return el('div', { class: 'token' }, el('h3', {}, name), paragraph(sentence), checks(list),
    facts('Claims', rows(jwt.claims)), facts('Header', rows(jwt.header)), folded('As it travels', code(name, rawJWT(jwt.parts))));
}

// An access token, checked as the API does it where it can be read.
export async function accessTokenCard(token, keys, issuer) {
  const access = oauth.decodeJWT(token);
  if (!access) {
    return el('div', { class: 'token' }, el('h3', {}, 'Access token'),
      paragraph('This one is opaque: only the issuer can read it, and the API asks there.'), code('Access token', token));
  }
  const now = Math.floor(Date.now() / 1000) - tolerance;
  const list = [await oauth.checkSignature(access, keys), ...oauth.checkAccessToken(access, { issuer, now })];
  return tokenCard('Access token', 'for the API. A client sends it on and does not read it; this page does so to show you.', access, list);
}
