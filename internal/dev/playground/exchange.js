// One request and its answer: sent, shown and written into the log.

import { $, el, code, command, folded, jsonText } from './view.js';

// A record is {title, method, url, headers, form, body, status, statusText, answerHeaders, answer, ms}: plain data, so that it
// survives the way through the sign-in page. With user, the client of that id proved itself by Basic.
export async function exchange(title, url, { method = 'GET', headers = {}, form, json } = {}) {
  const record = { title, method, url, headers: { ...headers } };
  const init = { method, headers: record.headers, cache: 'no-store', credentials: 'omit', redirect: 'error' };
  if (form) {
    record.form = Object.entries(form).filter(([, value]) => value !== undefined && value !== '');
    record.headers['Content-Type'] = 'application/x-www-form-urlencoded';
    init.body = new URLSearchParams(record.form).toString();
  }
  if (json) {
    record.json = json;
    record.headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(json);
  }
  const started = performance.now();
  try {
    const response = await fetch(url, init);
    const text = await response.text();
    Object.assign(record, { status: response.status, statusText: response.statusText, answerHeaders: [...response.headers], answer: readAnswer(text) });
  } catch (error) {
    Object.assign(record, { status: 0, statusText: 'no answer', answerHeaders: [], answer: `${error.message}. Does the server still run?` });
  }
  record.ms = Math.round(performance.now() - started);
  log(record);
  return record;
}

function readAnswer(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export const succeeded = (record) => record.status >= 200 && record.status < 300;

export const history = [];

export function log(record) {
  history.push({ title: record.title, method: record.method, url: record.url, status: record.status, statusText: record.statusText, ms: record.ms });
  const { pathname, host } = new URL(record.url);
  $('pg-log').append(el('li', { 'data-method': record.method, 'data-url': record.url, 'data-status': record.status ?? '' },
    el('span', { class: 'method' }, record.method),
    el('span', { class: 'where' }, el('span', { class: 'host' }, host), pathname),
    record.status === undefined ? el('span', { class: 'status' }, 'browser') : statusOf(record),
    el('span', { class: 'ms' }, record.ms === undefined ? '' : `${record.ms} ms`),
    el('span', { class: 'what' }, record.title)));
  $('pg-log-empty').hidden = true;
}

export const statusOf = (record) => el('span', { class: 'status ' + (succeeded(record) ? 'good' : 'bad') }, record.status ? `${record.status} ${record.statusText}`.trim() : 'no answer');

// The record as a figure: request and answer, and the curl line that repeats it.
export function show(record) {
  const { pathname, search, host } = new URL(record.url);
  const requestLines = [`${record.method} ${pathname}${search} HTTP/1.1\n`, `Host: ${host}\n`];
  for (const [name, value] of Object.entries(record.headers)) requestLines.push(`${name}: ${value}\n`);
  if (record.form) {
    requestLines.push('\n', ...record.form.flatMap(([name, value], i) => [
      i ? '&\n' : '', el('span', { class: 'j-key' }, name), '=', encodeURIComponent(value)]));
  }
  if (record.json) requestLines.push('\n', ...jsonText(record.json));
  const answerLines = record.answerHeaders.map(([name, value]) => [`${name}: `, name === 'www-authenticate' ? el('strong', {}, value) : value, '\n']).flat();
  const body = typeof record.answer === 'string' ? [record.answer] : jsonText(record.answer);
  return el('figure', { class: 'exchange' },
    el('figcaption', {}, record.title, ' ', statusOf(record), el('span', { class: 'ms' }, `${record.ms} ms`)),
    el('div', { class: 'messages' },
      el('div', {}, el('h3', {}, 'Request'), code('Request', requestLines)),
      el('div', {}, el('h3', {}, 'Answer'), code('Answer', answerLines, answerLines.length ? '\n' : '', body))),
    folded('As a curl command', command('curl command', curl(record))));
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function curl(record) {
  const words = ['curl -i'];
  if (record.method !== 'GET' && !record.form && !record.json) words.push(`-X ${record.method}`);
  for (const [name, value] of Object.entries(record.headers)) {
    if (record.user && name === 'Authorization') words.push(`-u ${record.user}:CLIENT_SECRET`);
    else if (!(record.form && name === 'Content-Type')) words.push(`-H ${quoted(`${name}: ${value}`)}`);
  }
  for (const [name, value] of record.form ?? []) words.push(`--data-urlencode ${quoted(`${name}=${value}`)}`);
  if (record.json) words.push(`-d ${quoted(JSON.stringify(record.json))}`);
  words.push(quoted(record.url));
  return words.join(' \\\n  ');
}
