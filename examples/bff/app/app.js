// A single-page application that knows nothing of tokens: the backend for frontend
// that serves it has them.
import { LoginRequired, Refused, api, login, logout, user } from '/bff/bff.js';

const at = (id) => document.getElementById(id);
const say = (text) => { at('status').textContent = text; };

function show(signedIn) {
  at('login').hidden = signedIn;
  at('load').hidden = at('logout').hidden = !signedIn;
}

// failed tells the person what went wrong, in the words that fit.
function failed(error) {
  if (error instanceof LoginRequired) {
    show(false);
    say('You are signed out.');
  } else if (error instanceof Refused && error.retryAfter) {
    say(`Not available now; try again in ${error.retryAfter} s.`);
  } else {
    say(error.message);
  }
}

async function load() {
  const response = await api('/api/photos');
  if (!response.ok) throw new Error(`The API answered with ${response.status}.`);
  at('photos').replaceChildren(...(await response.json()).photos.map((photo) => {
    const item = document.createElement('li');
    item.textContent = photo.title;
    return item;
  }));
}

// listen shows what the API says by itself. The stream ends with the session. An
// API without one, such as that of gatehouse dev, has nothing to end.
function listen() {
  const events = new EventSource('/api/events');
  let began = false;
  events.onopen = () => { began = true; };
  events.onmessage = (event) => { at('events').textContent = event.data; };
  events.onerror = async () => {
    if (began) at('events').textContent = 'The stream has ended.';
    const who = await user().catch(() => true); // an outage signs nobody out
    if (!who) {
      events.close();
      show(false);
      say('You are signed out.');
    }
  };
}

at('login').onclick = () => login();
at('load').onclick = () => load().catch(failed);
at('logout').onclick = () => logout().catch(failed);

try {
  const who = await user();
  show(Boolean(who));
  say(who ? `Hello ${who.claims.name ?? who.claims.sub}.` : 'Nobody is signed in.');
  if (who) listen();
} catch (error) {
  failed(error);
}
