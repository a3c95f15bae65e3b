// A service's three steps. What needs its secret is done by the program that serves this page, which tells what travelled.

import { metadataURL } from './oauth.js';
import { chainOf } from './chain.js';
import { exchange, log, show, succeeded } from './exchange.js';
import { accessTokenCard } from './tokens.js';
import { el, notice, paragraph, press, say, step, trouble } from './view.js';
import { watchItStop } from './watch.js';

const steps = Object.fromEntries(['ask', 'use', 'end'].map((name) => [name, step('step-' + name)]));
let config;
let token;

// The service does something, and the record of it comes back.
async function service(act, body = {}) {
  const response = await fetch('/service/' + act, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), cache: 'no-store' });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  log(answer);
  return answer;
}

async function ask() {
  const metadata = await exchange('Metadata', metadataURL(config.issuer));
  const record = await service('token');
  if (!succeeded(record)) {
    steps.ask.state = 'failed';
    steps.ask.show(notice(false, 'The server gave no token.'), show(record));
    say('The server gave no token.');
    return;
  }
  token = record.answer.access_token;
  const keys = await exchange('Public keys', metadata.answer.jwks_uri);
  steps.ask.show(show(record), await accessTokenCard(token, keys.answer, config.issuer));
  steps.ask.state = 'done';
  steps.use.state = steps.end.state = 'ready';
  say('The service has a token.');
}

const get = (path) => exchange(`GET ${path} through the gateway`, config.gateway + path, { headers: { Authorization: `Bearer ${token}` } });

async function photos() {
  const record = await get('/photos');
  steps.use.state = succeeded(record) ? 'done' : 'failed';
  steps.use.show(notice(succeeded(record), succeeded(record) ? 'The service has an album of its own: the subject of its token is the client.' : `The answer was ${record.status}.`), show(record));
  say(`The answer was ${record.status}.`);
}

async function chain() {
  const record = await get('/chain');
  steps.use.state = succeeded(record) ? 'done' : 'failed';
  steps.use.show(succeeded(record) ? el('ol', { class: 'chain' }, chainOf(record.answer, false)) : paragraph(`The answer was ${record.status}.`), show(record));
  say(`The answer was ${record.status}.`);
}

async function watch() {
  await watchItStop(steps.end, config.api, token, () => service('revoke', { token }));
  steps.end.state = 'done';
}

async function begin() {
  config = await (await fetch('/config.json')).json();
  for (const [id, work] of Object.entries({ 'sv-token': ask, 'sv-photos': photos, 'sv-chain': chain, 'sv-watch': watch })) press(id, work);
}

begin().catch((error) => trouble(`The playground could not start: ${error.message}`));
