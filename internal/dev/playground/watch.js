// Revoke, and watch it stop: PhotoAPI tells whether it still takes a token, and whether the thumbnails API still takes the one that was
// exchanged for it.

import { log, show, succeeded } from './exchange.js';
import { el, notice, say } from './view.js';

const patience = 10_000; // ms after which a watch is given up

// The events of a stream, as they come.
async function* eventsOf(response) {
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + text).split('\n\n');
    rest = events.pop();
    for (const event of events) yield JSON.parse(event.replace(/^data: /, ''));
  }
}

function lamp(name) {
  const status = el('span', { class: 'status' }, '…');
  const when = el('span', { class: 'ms' });
  const item = el('li', { 'data-api': name, 'data-status': '' }, el('strong', {}, name), status, when);
  return {
    item,
    turn(code, ms) {
      item.dataset.status = code;
      status.className = 'status ' + (code === 200 ? 'good' : 'bad');
      status.textContent = code === 200 ? '200 takes it' : `${code} refuses it`;
      when.textContent = ms === undefined ? '' : `${ms} ms after the answer of the revocation`;
    },
  };
}

// step shows it; revoke sends the revocation and returns its record.
export async function watchItStop(step, api, token, revoke) {
  const record = { title: 'Watch', method: 'GET', url: api + '/watch', headers: { Authorization: `Bearer ${token}` } };
  const aborted = new AbortController();
  const response = await fetch(record.url, { headers: record.headers, cache: 'no-store', credentials: 'omit', redirect: 'error', signal: aborted.signal });
  Object.assign(record, { status: response.status, statusText: response.statusText });
  log(record);
  if (!response.ok) {
    step.show(notice(false, `PhotoAPI does not take the token: ${response.status}.`));
    say(`PhotoAPI answered ${response.status}.`);
    return;
  }
  const lamps = { photoapi: lamp('PhotoAPI'), thumbnails: lamp('Thumbnails') };
  step.show(el('ul', { class: 'lamps' }, Object.values(lamps).map(({ item }) => item)));
  const timer = setTimeout(() => aborted.abort(), patience);
  let answered;
  let revocation;
  const seen = {};
  try {
    for await (const event of eventsOf(response)) {
      const ms = answered === undefined ? undefined : Math.max(0, Math.round(performance.now() - answered));
      for (const [name, one] of Object.entries(lamps)) {
        if (seen[name] === event[name]) continue;
        seen[name] = event[name];
        one.turn(event[name], ms);
      }
      if (revocation) continue;
      revocation = await revoke();
      answered = performance.now();
    }
  } catch (error) {
    if (error.name !== 'AbortError') throw error;
  } finally {
    clearTimeout(timer);
  }
  const stopped = seen.photoapi === 401 && seen.thumbnails === 401;
  step.add(notice(stopped, stopped
    ? 'Both refuse. Neither asked anybody about the token: they follow what the server says has ended, and what was exchanged for a token ends with it.'
    : 'It did not stop in ten seconds.'), ...(revocation ? [show(revocation)] : []));
  say(stopped && succeeded(revocation) ? 'Revoked, and both APIs refuse.' : 'It did not stop.');
}
