// Elements of the page. Text only ever goes in as text.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((c) => c != null && c !== false));
  return element;
}

const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

// JSON with its parts coloured.
export function jsonText(value) {
  const text = JSON.stringify(value, null, 2);
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(token)) {
    nodes.push(text.slice(last, match.index));
    const kind = match[2] ? 'key' : match[1] ? 'text' : 'value';
    const body = match[2] ? match[1] : match[0];
    nodes.push(el('span', { class: 'j-' + kind }, body));
    last = match.index + body.length;
  }
  nodes.push(text.slice(last));
  return nodes;
}

// A box of code that can be scrolled with the keyboard.
export const code = (label, ...children) => el('pre', { tabindex: 0, role: 'group', 'aria-label': label }, el('code', {}, ...children));

// Rows of a table, of [name, value, meaning].
export const factRows = (rows) => rows.map(([name, value, meaning]) => el('tr', {},
  el('th', { scope: 'row' }, name),
  el('td', { class: 'value' }, el('code', {}, String(value))),
  el('td', { class: 'meaning' }, meaning)));

// A table of [name, value, meaning].
export const facts = (caption, rows) => el('table', { class: 'facts' }, el('caption', {}, caption), el('tbody', {}, factRows(rows)));

// A list of [passed, sentence].
export function checks(list) {
  return el('ul', { class: 'checks' }, list.map(([passed, sentence]) => el('li', { class: passed ? 'good' : 'bad' },
    el('span', { class: 'unseen' }, passed ? 'Passed: ' : 'Failed: '), sentence)));
}

export const notice = (good, ...children) => el('p', { class: 'notice ' + (good ? 'good' : 'bad') }, ...children);

export const paragraph = (...children) => el('p', {}, ...children);

function copyButton(text) {
  const button = el('button', { type: 'button', class: 'copy' }, 'Copy');
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Select it by hand';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });
  return button;
}

export const command = (label, text) => el('div', { class: 'command' }, code(label, text), copyButton(text));

export const folded = (summary, ...children) => el('details', {}, el('summary', {}, summary), ...children);

// A JWT's three parts in three colours.
export const rawJWT = (parts) => parts.flatMap((part, i) => [i ? '.' : '', el('span', { class: 'jwt-' + i }, part)]);

export function say(sentence) { $('pg-status').textContent = sentence; }

export function trouble(sentence) {
  $('pg-trouble').textContent = sentence;
  $('pg-trouble').hidden = false;
  say(sentence);
}

// A button that cannot be pressed again while its work is under way, nor afterwards while staysOff says so.
export function press(id, work, staysOff = () => false) {
  const button = $(id);
  button.disabled = staysOff(); // the page shows it before its script is there
  button.addEventListener('click', async () => {
    button.disabled = true;
    button.setAttribute('aria-busy', 'true');
    try {
      await work();
    } catch (error) {
      trouble(`This page has a fault: ${error.message}`);
    } finally {
      button.removeAttribute('aria-busy');
      button.disabled = staysOff();
    }
  });
}

// A step of the page.
export function step(id) {
  const section = $(id);
  const actions = section.querySelector('.actions');
  return {
    section,
    set state(state) {
      section.dataset.state = state;
      document.querySelector(`.ways a[href="#${id}"]`).dataset.state = state;
      if (actions) actions.hidden = state === 'waiting';
    },
    show(...children) { section.querySelector('.result').replaceChildren(...children.flat()); },
    add(...children) { section.querySelector('.result').append(...children.flat()); },
    reach() {
      section.scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
    },
  };
}
