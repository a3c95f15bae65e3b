// A headless Chromium, watched: what its pages complain about and whom they talk to.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { chromium as playwright } from 'playwright-core'
import { arrived, named, v6 } from './callback.mjs'
import { api, bff, callback, chromium, gateway, issuer, playground, secretOf } from './stage.mjs'

export const observed = {
  violations: [], // console messages about a Content Security Policy
  scriptErrors: [],
  outside: [], // requests to origins that are not part of the test
  faults: [], // answers with 5xx
  pages: new Set(), // paths of the issuer that were shown
}

const known = new Set([issuer, playground, api, bff, gateway, callback, named, v6].filter(Boolean).map((address) => new URL(address).origin))
const harmless = ['data:', 'blob:', 'about:', 'chrome-error:', 'com.example.interop:']

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync']

const patience = 15_000 // milliseconds, for a busy machine

let browser

export async function launch() {
  browser = await playwright.launch({ executablePath: chromium, headless: true, args: flags })
  return browser
}

// open makes a browser profile of its own. unwatched: its complaints are part of a check.
export async function open({ unwatched = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options })
  context.setDefaultTimeout(patience)
  if (!unwatched) context.on('page', watch)
  return context
}

function watch(page) {
  page.on('console', (message) => {
    if (/content security policy/i.test(message.text())) observed.violations.push(`${path(page.url())}: ${message.text()}`)
  })
  page.on('pageerror', (error) => observed.scriptErrors.push(`${path(page.url())}: ${error.message}`))
  page.on('request', (request) => {
    const url = new URL(request.url())
    if (!harmless.includes(url.protocol) && !known.has(url.origin)) observed.outside.push(request.url())
  })
  page.on('response', (response) => {
    if (response.status() >= 500) observed.faults.push(`${response.status()} ${response.url()}`)
  })
  page.on('framenavigated', (frame) => {
    if (frame.url().startsWith(issuer)) observed.pages.add(path(frame.url()))
  })
}

function path(address) {
  return address.startsWith('http') ? new URL(address).pathname : address
}

// inBrowser runs body with a fresh profile and one page, and closes it.
export async function inBrowser(options, body) {
  if (typeof options === 'function') [options, body] = [{}, options]
  const context = await open(options)
  try {
    return await body(await context.newPage(), context)
  } finally {
    await context.close()
  }
}

const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
export const endSession = metadata.end_session_endpoint
export const tokenEndpoint = metadata.token_endpoint
export const authorizationEndpoint = metadata.authorization_endpoint

// begin makes an authorization request.
export function begin({ client = 'interop-web', redirect = `${callback}/callback`, scope = 'openid profile', ...extra } = {}) {
  const verifier = randomBytes(32).toString('base64url')
  const state = randomBytes(12).toString('base64url')
  const url = new URL(authorizationEndpoint)
  url.search = new URLSearchParams({
    response_type: 'code', client_id: client, redirect_uri: redirect, scope, state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256', ...extra,
  })
  return { client, redirect, state, verifier, url: url.href }
}

// redeem exchanges the code of an answer and returns the tokens, or the error.
export async function redeem(request, answer) {
  const body = new URLSearchParams({ grant_type: 'authorization_code', code: answer.params.get('code') ?? '', redirect_uri: request.redirect, code_verifier: request.verifier })
  const headers = {}
  if (['interop-native', 'interop-spa', 'interop-post'].includes(request.client)) body.set('client_id', request.client)
  if (request.client === 'interop-post') body.set('client_secret', secretOf(request.client))
  if (!body.has('client_id')) headers.authorization = `Basic ${Buffer.from(`${request.client}:${secretOf(request.client)}`).toString('base64')}`
  const response = await fetch(tokenEndpoint, { method: 'POST', body, headers })
  return { status: response.status, ...(await response.json()) }
}

// enter fills the sign-in form and sends it.
export async function enter(page, person) {
  await page.fill('#username', person.username)
  await page.fill('#password', person.password)
  await page.click('#login-submit')
}

// signIn goes through all pages of a request and returns what arrived.
export async function signIn(page, request, person) {
  await page.goto(request.url)
  await enter(page, person)
  return consent(page, request)
}

// consent says yes if it is asked (it need not be, where it said so before).
export async function consent(page, request) {
  const asked = page.waitForSelector('#consent-allow').then(() => page.click('#consent-allow'))
  await Promise.race([asked.catch(() => {}), arrived(request.state).catch(() => {})])
  const answer = await arrived(request.state)
  await page.waitForSelector('#arrived') // else the next navigation cuts this one short
  return answer
}

// assertCode says that an answer is a success in the way of RFC 9207.
export function assertCode(request, answer) {
  assert.equal(answer.params.get('error'), null, answer.params.get('error_description'))
  assert.deepEqual([...answer.params.keys()].filter((k) => k !== 'kept').sort(), ['code', 'iss', 'state'])
  assert.equal(answer.params.get('state'), request.state)
  assert.equal(answer.params.get('iss'), issuer)
}

// assertWorks says that an answer's code brings tokens.
export async function assertWorks(request, answer, person) {
  assertCode(request, answer)
  const tokens = await redeem(request, answer)
  assert.equal(tokens.status, 200, `${tokens.error}: ${tokens.error_description}`)
  if (person) assert.equal(claimsOf(tokens).sub, person.sub)
  return tokens
}

export function claimsOf(tokens) {
  return JSON.parse(Buffer.from(tokens.id_token.split('.')[1], 'base64url'))
}

// shows waits until the page has an element with the id.
export async function shows(page, id) {
  try {
    await page.waitForSelector(`#${id}`, { state: 'visible' })
  } catch {
    const text = (await page.textContent('body').catch(() => '')) ?? ''
    throw new Error(`no #${id} on ${path(page.url())}: ${text.replaceAll(/\s+/g, ' ').slice(0, 200)}`)
  }
}
