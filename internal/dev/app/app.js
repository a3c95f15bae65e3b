// A single-page application that knows nothing of tokens: the backend for frontend that serves it has them.

import { LoginRequired, Refused, api, login, logout, user } from '/bff/bff.js';
import { chainOf } from '/chain.js';
import { $, el, factRows } from '/view.js';

const say = (text) => { $('app-status').textContent = text; };

function show(signedIn) {
  $('app-login').hidden = $('app-people').hidden = signedIn;
  $('app-logout').hidden = $('app-inside').hidden = !signedIn;
}

// failed tells the person what went wrong, in the words that fit.
function failed(error) {
  if (error instanceof LoginRequired) {
    show(false);
    say('You are signed out.');
    return;
  }
  $('app-trouble').textContent = error instanceof Refused && error.retryAfter ? `Not available now; try again in ${error.retryAfter} s.` : error.message;
  $('app-trouble').hidden = false;
}

const attempt = (work) => async (event) => {
  event?.preventDefault();
  $('app-trouble').hidden = true;
  try {
    await work();
  } catch (error) {
    failed(error);
  }
};

async function answered(response) {
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new Error(`PhotoAPI answered ${response.status}${error ? `: ${error}` : ''}.`);
}

// A picture is asked for by a script, since an <img> cannot send the header that keeps other sites out.
async function picture(photo) {
  const image = el('img', { alt: '', width: 120, height: 90 });
  const response = await answered(await api(`/api/photos/${photo.id}/thumbnail`));
  const address = URL.createObjectURL(await response.blob());
  image.onload = () => URL.revokeObjectURL(address);
  image.src = address;
  return image;
}

async function entry(photo) {
  const remove = el('button', { type: 'button', 'aria-label': `Delete ${photo.title}` }, 'Delete');
  remove.onclick = attempt(async () => {
    await answered(await api(`/api/photos/${photo.id}`, { method: 'DELETE' }));
    await load();
  });
  return el('li', { class: 'photo' }, await picture(photo), el('span', {}, photo.title), el('br'), remove);
}

async function load() {
  const { photos } = await (await answered(await api('/api/photos'))).json();
  $('app-photos').replaceChildren(...await Promise.all(photos.map(entry)));
  $('app-chain').replaceChildren(...chainOf(await (await answered(await api('/api/chain'))).json(), true));
  look();
}

async function add() {
  const title = $('app-title').value;
  await answered(await api('/api/photos', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ title }) }));
  $('app-form').reset();
  await load();
}

// What any script of this page could read.
function look() {
  const shown = (text) => (text === '' || text === '{}' ? 'nothing' : text);
  $('app-held').replaceChildren(...factRows([
    ['document.cookie', shown(document.cookie), 'the session\u2019s cookie is HttpOnly'],
    ['localStorage', shown(JSON.stringify({ ...localStorage })), 'no token is kept here'],
    ['sessionStorage', shown(JSON.stringify({ ...sessionStorage })), 'nor here'],
  ]));
}

// The stream ends with the session, wherever that ended.
function listen() {
  const events = new EventSource('/api/watch');
  events.onerror = async () => {
    events.close();
    const who = await user().catch(() => true); // an outage signs nobody out
    if (who) {
      setTimeout(listen, 1000);
      return;
    }
    show(false);
    say('You are signed out.');
  };
}

$('app-login').onclick = () => login();
$('app-logout').onclick = attempt(logout);
$('app-form').onsubmit = attempt(add);

attempt(async () => {
  $('app-playground').href = (await (await fetch('/stage.json')).json()).playground;
  const who = await user();
  show(Boolean(who));
  say(who ? `Hello ${who.claims.name ?? who.claims.sub}.` : 'Nobody is signed in.');
  if (!who) return;
  await load();
  listen();
})();
