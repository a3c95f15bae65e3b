// The eight steps. Tokens live in this page's memory only; what must survive the way through the sign-in page (the secrets of
// step 2 and what was shown so far) waits in sessionStorage and is taken out when the answer arrives.

import * as oauth from './oauth.js';
import { chainOf } from './chain.js';
import { exchange, history, log, show, succeeded } from './exchange.js';
import { accessTokenCard, tokenCard } from './tokens.js';
import { $, checks, code, command, el, facts, folded, notice, paragraph, press, say, step, trouble } from './view.js';
import { watchItStop } from './watch.js';

const steps = Object.fromEntries(['discovery', 'secrets', 'authorize', 'callback', 'token', 'api', 'chain', 'more'].map((name) => [name, step('step-' + name)]));
const pendingKey = 'gatehouse playground: pending';
const logoutKey = 'gatehouse playground: signing out';

const flow = { config: null, metadata: null, secrets: null, discovery: null, code: '', tokens: null, previousRefresh: '' };

const seconds = () => Math.floor(Date.now() / 1000);

function take(key) {
  const text = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  return text && JSON.parse(text);
}

const onPress = (id, work) => press(id, work, () => id === 'pg-replay' && !flow.previousRefresh);

// Step 1 and 2.

async function start() {
  const record = await exchange('Metadata', oauth.metadataURL(flow.config.issuer));
  flow.discovery = record;
  showDiscovery();
  if (!succeeded(record)) {
    say('The metadata could not be read.');
    return;
  }
  const verifier = oauth.randomText();
  flow.secrets = { verifier, challenge: await oauth.challengeOf(verifier), state: oauth.randomText(), nonce: oauth.randomText() };
  showSecrets();
  openChoices();
  steps.authorize.state = 'ready';
  showRequest();
  steps.secrets.reach();
  say('The metadata was read and the secrets were made. Next: ask for permission.');
}

function showDiscovery() {
  const record = flow.discovery;
  steps.discovery.state = succeeded(record) ? 'done' : 'failed';
  if (!succeeded(record)) {
    steps.discovery.show(notice(false, 'The server did not answer with its metadata.'), show(record));
    return;
  }
  flow.metadata = record.answer;
  const m = flow.metadata;
  steps.discovery.show(
    checks([[m.issuer === flow.config.issuer, 'The metadata names the issuer that we asked.'],
      [(m.code_challenge_methods_supported ?? []).includes('S256'), 'The server knows PKCE with S256.']]),
    facts('What this page needs of it', [
      ['authorization_endpoint', m.authorization_endpoint, 'where step 3 goes'],
      ['token_endpoint', m.token_endpoint, 'where step 5 trades the code'],
      ['jwks_uri', m.jwks_uri, 'the public keys'],
      ['userinfo_endpoint', m.userinfo_endpoint, 'who signed in'],
      ['revocation_endpoint', m.revocation_endpoint, 'taking tokens back'],
      ['end_session_endpoint', m.end_session_endpoint, 'signing out'],
    ].filter(([, value]) => value)),
    folded('The whole exchange', show(record)));
  $('pg-start').textContent = 'Start again';
  $('pg-start').classList.remove('primary');
}

function showSecrets() {
  const s = flow.secrets;
  steps.secrets.state = 'done';
  steps.secrets.show(facts('Made with the browser\u2019s own cryptography', [
    ['code_verifier', s.verifier, 'stays here until step 5'],
    ['code_challenge', s.challenge, 'its SHA-256, which travels ahead'],
    ['state', s.state, 'comes back with the answer'],
    ['nonce', s.nonce, 'comes back inside the ID token'],
  ]));
}

// Step 3.

const choiceID = (scope) => 'pg-scope-' + scope.replace(':', '-');
const rarelyWanted = ['address', 'phone'];

function buildChoices() {
  $('pg-scopes').replaceChildren(...flow.config.scopes.map((scope) => el('label', { class: 'chip' },
    el('input', { type: 'checkbox', id: choiceID(scope), value: scope, checked: !rarelyWanted.includes(scope) }), el('span', {}, scope))));
  $('pg-choices').addEventListener('input', showRequest);
  $('pg-choices').addEventListener('submit', (event) => event.preventDefault());
  $('pg-people').replaceChildren(...flow.config.users.flatMap((user, i) => [i ? ' or ' : 'Sign in as ',
    el('strong', {}, user.username), ' with the password ', el('code', {}, user.password)]));
}

function openChoices() { $('pg-choices').hidden = false; }

function chosen() {
  const scope = flow.config.scopes.filter((name) => $(choiceID(name)).checked).join(' ');
  return { scope, prompt: $('pg-prompt').value };
}

function request() {
  const choice = chosen();
  const rows = oauth.authorizationParameters({ config: flow.config, secrets: flow.secrets, ...choice });
  return { ...choice, rows, url: oauth.urlWith(flow.metadata.authorization_endpoint, rows) };
}

function showRequest(given) {
  const { rows, url } = given?.rows ? given : request();
  steps.authorize.show(facts('The authorization request', rows), folded('As the browser sends it', command('Authorization request', url)));
}

function authorize() {
  const asked = request();
  const record = { title: 'Authorization request, sign-in and consent', method: 'GET', url: asked.url };
  sessionStorage.setItem(pendingKey, JSON.stringify({ secrets: flow.secrets, discovery: flow.discovery, asked, history: [...history, record] }));
  location.assign(asked.url);
}

// Step 4.

function receive(params) {
  window.history.replaceState(null, '', '/'); // no code stays in the address bar or the browser's history
  const pending = take(pendingKey);
  const rows = [...params].map(([name, value]) => [name, value, callbackMeanings[name] ?? '']);
  if (!pending) {
    receiveUnasked(params, rows);
    return;
  }
  Object.assign(flow, { secrets: pending.secrets, discovery: pending.discovery, asked: pending.asked });
  pending.history.forEach(log);
  showDiscovery();
  showSecrets();
  steps.authorize.state = 'done';
  showRequest(pending.asked);
  // The secrets are for one sign-in; another one begins with Start over.
  for (const id of ['step-discovery', 'step-authorize']) $(id).querySelector('.actions').hidden = true;
  const list = oauth.checkCallback(params, { state: flow.secrets.state, issuer: flow.config.issuer });
  const trusted = list.every(([passed]) => passed);
  const answer = [facts('What came back', rows), checks(list)];
  flow.code = trusted ? params.get('code') ?? '' : '';
  if (flow.code) {
    steps.callback.state = 'done';
    steps.callback.show(answer);
    steps.token.state = 'ready';
    say('The answer arrived and is to our question. Next: redeem the code.');
  } else {
    steps.callback.state = 'failed';
    steps.callback.show(answer, notice(false, trusted ? refusal(params) : 'The answer is not to our question, so this page takes nothing from it.'));
    say('The answer holds no code.');
  }
  steps.callback.reach();
}

const callbackMeanings = {
  code: 'stands for what was allowed; works once', state: 'as it was sent', iss: 'who answers', error: 'why there is no code',
  error_description: 'the same, for developers', error_uri: 'more about it',
};

function refusal(params) {
  const error = params.get('error');
  if (error === 'access_denied') return 'The request was denied. That is an answer, too: the client goes on without access.';
  if (['login_required', 'consent_required', 'interaction_required'].includes(error)) return `prompt=none forbids pages, and one was needed (${error}). Start over and let the server ask.`;
  return `The server answered with the error ${error ?? '(none)'}. Its description says what to change.`;
}

function receiveUnasked(params, rows) {
  steps.callback.state = 'failed';
  steps.callback.show(facts('What came back', rows),
    notice(false, 'This tab asked for nothing, or took the answer already. A client must not redeem a code that it did not ask for: somebody could slip in their own.'));
  if (params.has('code')) {
    const line = `curl -u web:CLIENT_SECRET \\\n  -d grant_type=authorization_code \\\n  -d code=${params.get('code')} \\\n  --data-urlencode redirect_uri=${flow.config.redirect_uri} \\\n  -d code_verifier=CODE_VERIFIER \\\n  ${flow.config.issuer}/token`;
    steps.callback.add(paragraph('If you asked by hand, for example as the client ', el('code', {}, 'web'), ', redeem it within a minute:'), command('curl command', line));
  }
  steps.callback.reach();
  say('An answer arrived that this tab did not ask for.');
}

// Step 5.

async function redeem() {
  const record = await exchange(flow.tokens ? 'Token request with the spent code' : 'Token request', flow.metadata.token_endpoint, {
    method: 'POST',
    form: {
      grant_type: 'authorization_code', code: flow.code, redirect_uri: flow.config.redirect_uri,
      client_id: flow.config.client_id, code_verifier: flow.secrets.verifier,
    },
  });
  steps.token.show(show(record));
  if (!succeeded(record)) {
    steps.token.state = 'failed';
    steps.token.add(notice(false, flow.tokens
      ? 'A code works once. Since one that comes twice may have been stolen, the server ended the grant: the tokens of the first time cannot be renewed any more.'
      : `The code was not accepted: ${record.answer.error ?? record.answer}. Start over for a new one.`));
    say('The code was not accepted.');
    return;
  }
  flow.tokens = record.answer;
  flow.jwks = await exchange('Public keys', flow.metadata.jwks_uri);
  steps.token.add(...await describeTokens(flow.tokens, flow.secrets.nonce));
  steps.token.state = 'done';
  steps.api.state = 'ready';
  steps.chain.state = 'ready';
  steps.more.state = 'ready';
  $('pg-exchange').textContent = 'Redeem it a second time';
  $('pg-exchange').classList.remove('primary');
  $('pg-refresh').hidden = $('pg-replay').hidden = !flow.tokens.refresh_token;
  $('pg-userinfo').hidden = !scopes().includes('openid');
  showIntrospection();
  say('The code was traded for tokens.');
}

const scopes = () => (flow.tokens?.scope ?? flow.asked?.scope ?? '').split(' ');

async function describeTokens(tokens, nonce) {
  const now = seconds() - 5; // a little tolerance for two clocks
  const issuer = flow.config.issuer;
  const cards = [];
  cards.push(await accessTokenCard(tokens.access_token, flow.jwks.answer, issuer));
  const identity = tokens.id_token && oauth.decodeJWT(tokens.id_token);
  if (identity) {
    const list = [await oauth.checkSignature(identity, flow.jwks.answer),
      ...await oauth.checkIDToken(identity, { issuer, clientID: flow.config.client_id, nonce, accessToken: tokens.access_token, now })];
    cards.push(tokenCard('ID token', 'for the client: who signed in, how and when. It opens no API.', identity, list));
  }
  if (tokens.refresh_token) {
    cards.push(el('div', { class: 'token' }, el('h3', {}, 'Refresh token'),
      paragraph('for the token endpoint alone. It names a state of your grant and changes with each use.'), code('Refresh token', tokens.refresh_token)));
  }
  return cards;
}

// Step 6.

const bearer = () => ({ Authorization: `Bearer ${flow.tokens.access_token}` });

async function call(title, options, sentences, { at = flow.config.api, who = 'PhotoAPI' } = {}) {
  const record = await exchange(title, at + '/photos', options);
  steps.api.show(notice(succeeded(record), sentences[record.status] ?? `${who} answered ${record.status}.`), show(record));
  say(`${who} answered ${record.status}.`);
  return record;
}

async function callAPI() {
  const record = await call('GET /photos', { headers: bearer() }, {
    200: 'The token is good and its scope covers photos:read.',
    401: 'PhotoAPI does not accept the token; its challenge says why.',
    403: 'The token is good, but its scope does not cover photos:read; the challenge names the scope that is missing.',
  });
  steps.api.state = succeeded(record) ? 'done' : 'failed';
  if (succeeded(record)) showAlbum(record.answer.photos);
}

async function addPhoto() {
  const title = `Seen at ${new Date().toLocaleTimeString('en-GB')}`;
  const record = await call('POST /photos', { method: 'POST', headers: bearer(), json: { title } }, {
    201: 'The token is good and its scope covers photos:write. GET /photos shows the new one.',
    403: 'The token is good, but its scope does not cover photos:write; the challenge names the scope that is missing.',
    401: 'PhotoAPI does not accept the token; its challenge says why.',
  });
  if (succeeded(record)) showAlbum([...album, record.answer]);
}

async function callGateway() {
  const record = await call('GET /photos through the gateway', { headers: bearer() }, {
    200: 'The gateway found the token good and the scope enough, exchanged it, and PhotoAPI answered. It passes on nothing that no route names.',
    401: 'The gateway does not accept the token, and PhotoAPI was not asked.',
    403: 'The gateway wants photos:read, which the token does not have; PhotoAPI was not asked.',
    429: 'The gateway counts the requests of each client, and these were too many.',
  }, { at: flow.config.gateway, who: 'The gateway' });
  if (succeeded(record)) showAlbum(record.answer.photos);
}

const callBare = () => call('GET /photos without a token', {}, {
  401: 'No token, no photos. The challenge says which scheme to use, and no more, since nothing was presented that could be wrong.',
});

let album = [];

function showAlbum(photos) {
  album = photos;
  $('pg-album').hidden = false;
  $('pg-album').replaceChildren(...photos.slice(-12).map((photo) => {
    const picture = el('span', { class: 'picture' });
    picture.style.setProperty('--hue', photo.hue);
    return el('div', { class: 'photo' }, picture, el('span', {}, photo.title));
  }));
}

// Step 7.

async function callChain() {
  const record = await exchange('GET /chain through the gateway', flow.config.gateway + '/chain', { headers: bearer() });
  steps.chain.state = succeeded(record) ? 'done' : 'failed';
  steps.chain.show(succeeded(record)
    ? el('ol', { class: 'chain' }, chainOf(record.answer, false))
    : notice(false, record.status === 403 ? 'The token\u2019s scope does not cover photos:read.' : `The answer was ${record.status}.`), show(record));
  say(succeeded(record) ? 'Both APIs told what they see.' : `The answer was ${record.status}.`);
}

// Step 8.

async function userinfo() {
  const record = await exchange('Userinfo', flow.metadata.userinfo_endpoint, { headers: bearer() });
  const rows = succeeded(record) ? [facts('Who signed in', Object.entries(record.answer).map(oauth.claimRow))] : [];
  steps.more.show(...rows, show(record));
  say(`Userinfo answered ${record.status}.`);
}

const short = (text) => (text.length > 44 ? `${text.slice(0, 20)} … ${text.slice(-20)}` : text);

const refreshWith = (title, token) => exchange(title, flow.metadata.token_endpoint, {
  method: 'POST', form: { grant_type: 'refresh_token', refresh_token: token, client_id: flow.config.client_id },
});

async function refresh() {
  const before = flow.tokens;
  const record = await refreshWith('Refresh', before.refresh_token);
  if (!succeeded(record)) {
    steps.more.show(notice(false, `The refresh token is not accepted any more: ${record.answer.error ?? record.answer}.`), show(record));
    say('The refresh token was not accepted.');
    return;
  }
  flow.previousRefresh = before.refresh_token;
  flow.tokens = { ...before, ...record.answer };
  $('pg-replay').disabled = false;
  const rotated = flow.tokens.refresh_token !== before.refresh_token;
  steps.more.show(
    checks([[flow.tokens.access_token !== before.access_token, 'There is a new access token, and step 6 uses it from now on.'],
      [rotated, 'The refresh token was rotated: the old one is spent.']]),
    facts('Rotation', [['before', short(before.refresh_token), 'spent'], ['after', short(flow.tokens.refresh_token), 'current']]),
    show(record));
  say('The tokens were renewed.');
}

async function replay() {
  const record = await refreshWith('The old refresh token again', flow.previousRefresh);
  const same = succeeded(record) && record.answer.refresh_token === flow.tokens.refresh_token;
  steps.more.show(
    same ? notice(true, 'Within the grace of half a minute this is a lost answer or a second tab: the same successor comes back, and the chain does not fork. Try it once more later.')
      : notice(!succeeded(record), 'After the grace the old token is a replay. Somebody has it who should not, so the whole grant ends: the current token is dead as well.'),
    show(record));
  say(same ? 'The same successor came back.' : 'The replay ended the grant.');
}

function revokeTokens() {
  const token = flow.tokens.refresh_token ?? flow.tokens.access_token;
  return exchange('Revocation', flow.metadata.revocation_endpoint, {
    method: 'POST', form: { token, token_type_hint: flow.tokens.refresh_token ? 'refresh_token' : 'access_token', client_id: flow.config.client_id },
  });
}

async function revoke() {
  const record = await revokeTokens();
  steps.more.show(notice(succeeded(record), flow.tokens.refresh_token
    ? 'The grant has ended, and with it all that came of it: Refresh fails, and both APIs refuse the access token. They follow what the server says has ended.'
    : 'The access token is revoked: both APIs refuse it. They follow what the server says has ended.'), show(record));
  say(`Revocation answered ${record.status}.`);
}

const watch = () => watchItStop(steps.more, flow.config.api, flow.tokens.access_token, revokeTokens);

function showIntrospection() {
  const line = `curl -s -u photoapi:CLIENT_SECRET \\\n  -d token=${flow.tokens.access_token} \\\n  ${flow.metadata.introspection_endpoint}`;
  $('pg-introspection').hidden = !flow.metadata.introspection_endpoint;
  $('pg-introspection').replaceChildren(folded('And introspection?', paragraph('An API that does not read tokens itself asks the issuer. It needs a secret for that, which no browser can keep, so do it in a shell; the secret of ',
    el('code', {}, 'photoapi'), ' stands in the terminal where Gatehouse runs.'), command('curl command', line)));
}

function signOut() {
  const state = oauth.randomText();
  sessionStorage.setItem(logoutKey, JSON.stringify({ state }));
  location.assign(oauth.urlWith(flow.metadata.end_session_endpoint, [
    ...(flow.tokens.id_token ? [['id_token_hint', flow.tokens.id_token]] : []), ['client_id', flow.config.client_id],
    ['post_logout_redirect_uri', flow.config.post_logout_redirect_uri], ['state', state],
  ]));
}

function returned(params) {
  const left = take(logoutKey);
  if (!left || !params.has('state')) return;
  window.history.replaceState(null, '', '/');
  const ours = params.get('state') === left.state;
  $('pg-signed-out').textContent = ours ? 'You are signed out, and the server sent you back here with the state that this page gave it.' : 'The server sent you back, but not with the state of this page.';
  $('pg-signed-out').classList.toggle('bad', !ours);
  $('pg-signed-out').hidden = false;
  say($('pg-signed-out').textContent);
}

async function begin() {
  flow.config = await (await fetch('/config.json')).json();
  $('pg-issuer').textContent = flow.config.issuer;
  $('pg-bff').href = flow.config.bff;
  buildChoices();
  for (const [id, work] of Object.entries({
    'pg-start': start, 'pg-authorize': authorize, 'pg-exchange': redeem, 'pg-call-api': callAPI, 'pg-add-photo': addPhoto, 'pg-call-bare': callBare,
    'pg-gateway': callGateway, 'pg-chain': callChain, 'pg-watch': watch,
    'pg-userinfo': userinfo, 'pg-refresh': refresh, 'pg-replay': replay, 'pg-revoke': revoke, 'pg-logout': signOut,
  })) onPress(id, work);
  const params = new URLSearchParams(location.search);
  if (location.pathname === '/callback') receive(params);
  else returned(params);
}

begin().catch((error) => trouble(`The playground could not start: ${error.message}`));
