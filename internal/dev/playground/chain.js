// Who calls whom with what, as the APIs themselves told it (GET /chain of PhotoAPI).

import { claimRow } from './oauth.js';
import { code, el, facts, folded, jsonText } from './view.js';

const told = ['sub', 'act', 'client_id', 'aud', 'scope'];

// The actors of a claim act, the present one first (RFC 8693 §4.1).
export function actorsOf(claims) {
  const actors = [];
  for (let actor = claims.act; actor; actor = actor.act) actors.push(actor.sub);
  return actors;
}

// The claims that tell of the call, then the others.
function seen(claims) {
  const others = Object.entries(claims).filter(([name]) => !told.includes(name));
  const rows = told.filter((name) => name in claims).map((name) => {
    const [, value, meaning] = claimRow([name, claims[name]]);
    return [name, value, name === 'act' ? 'who acts for them; the present one is outermost' : meaning];
  });
  return [facts('Its token says', rows), folded('All its claims', code('Claims', jsonText(claims)), facts('The others', others.map(claimRow)))];
}

const link = (who, name, sentence, ...more) => el('li', { 'data-who': who }, el('h3', {}, name), el('p', {}, sentence), ...more);

// The links of the chain as list items; behindBFF says that the browser has a cookie in the place of a token.
export function chainOf({ photoapi, thumbnails }, behindBFF) {
  const before = actorsOf(photoapi.claims);
  const [present, ...earlier] = actorsOf(thumbnails.claims);
  return [
    behindBFF ? link('browser', 'The browser', 'sends a cookie, and a header that no other site can send.') : link('browser', 'The client', 'sends its access token.'),
    behindBFF ? link('bff', 'The backend for frontend', 'knows the session by the cookie, and puts the access token in its place.') : null,
    ...before.toReversed().map((actor) => (actor === 'photos-gateway'
      ? link('gateway', 'The gateway', 'checks the token and what it allows, and exchanges it: what PhotoAPI gets says that the gateway acts.')
      : link(actor, actor, 'exchanged the token, and acts for its subject.'))),
    link('photoapi', 'PhotoAPI', 'gets a token that is for PhotoAPI alone, and must not pass it on. It exchanges it in its turn.', ...seen(photoapi.claims)),
    link('thumbnails', 'The thumbnails API', `gets another token, for itself alone: the same subject, and that ${present} acts for it${earlier.length ? `, after ${earlier.join(' and ')}` : ''}. The certificate of the connection is of ${thumbnails.certificate}, too.`, ...seen(thumbnails.claims)),
  ].filter(Boolean);
}
