// The whole picture of `gatehouse dev`: an application with a backend for frontend, two APIs, and what stops them.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { findings } from './axe.mjs'
import { arrived } from '../lib/callback.mjs'
import { authorizationEndpoint, enter, inBrowser, observed, tokenEndpoint } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { accessibility, picture } from '../lib/looks.mjs'
import { api, bff, callback, gateway, issuer, playground, users } from '../lib/stage.mjs'

const [alice, bob] = users
const says = (page, text) => page.waitForFunction((wanted) => document.getElementById('app-status')?.textContent.includes(wanted), text)

// allow consents, where it is asked.
async function allow(page, until) {
  const asked = page.waitForSelector('#consent-allow').then(() => page.click('#consent-allow'))
  await Promise.race([asked.catch(() => {}), until])
  await until
}

async function signIn(page, person) {
  await page.goto(bff)
  await says(page, 'Nobody is signed in.')
  await page.click('#app-login')
  await page.waitForSelector('#login-form')
  await enter(page, person)
  await allow(page, page.waitForURL(`${bff}/`))
  await says(page, 'Hello ')
  await page.waitForSelector('#app-chain li[data-who=thumbnails]')
}

// drawn waits until every thumbnail is a picture.
const drawn = (page, count) => page.waitForFunction((wanted) => {
  const images = [...document.querySelectorAll('#app-photos img')]
  return images.length === wanted && images.every((image) => image.complete && image.naturalWidth > 0)
}, count)

// looksGood looks at the page as a person and as a screen reader.
async function looksGood(page, name) {
  const troubles = await page.evaluate(accessibility)
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme })
    troubles.push(...await findings(page, `${name}, ${colorScheme}`))
  }
  assert.deepEqual(troubles.filter((t) => t !== 'inline style or handler').concat(await picture(page, name)), [])
}

// tokenOfSession gets an access token in the session that the browser has, without offline_access: it ends with the session.
async function tokenOfSession(page) {
  const verifier = randomBytes(32).toString('base64url')
  const state = randomBytes(12).toString('base64url')
  const redirect = `${callback}/callback`
  const url = new URL(authorizationEndpoint)
  url.search = new URLSearchParams({
    response_type: 'code', client_id: 'spa', redirect_uri: redirect, scope: 'openid photos:read', state,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
  })
  await page.goto(url.href)
  const came = arrived(state)
  await allow(page, came)
  const code = (await came).params.get('code')
  await page.waitForSelector('#arrived') // else the next navigation cuts this one short
  const response = await fetch(tokenEndpoint, { method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', client_id: 'spa', redirect_uri: redirect, code, code_verifier: verifier }) })
  return (await response.json()).access_token
}

// watch tells how both APIs take the token, and since when they do not.
async function watch(token) {
  const response = await fetch(`${api}/watch`, { headers: { authorization: `Bearer ${token}` } })
  assert.equal(response.status, 200)
  const events = response.body.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await events.next()
    return done ? undefined : value.trim().split('\n\n').map((event) => JSON.parse(event.replace(/^data: /, ''))).at(-1)
  }
  return next
}

export async function pictureChecks() {
  await check('picture-sign-in-through-the-bff', () => inBrowser(async (page, context) => {
    const bodies = []
    page.on('response', async (response) => {
      if (response.url().startsWith(bff)) bodies.push(await response.text().catch(() => ''))
    })
    await page.goto(bff)
    await says(page, 'Nobody is signed in.')
    await looksGood(page, 'app-signed-out')
    await signIn(page, alice)
    await drawn(page, 3)
    await looksGood(page, 'app-signed-in')
    assert.deepEqual(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]), ['', 0, 0])
    const cookies = (await context.cookies(bff)).filter((cookie) => cookie.name.startsWith('bff'))
    assert.deepEqual(cookies.map((cookie) => [cookie.httpOnly, cookie.sameSite]), [[true, 'Strict']])
    assert.equal(bodies.some((text) => /access_token|refresh_token|eyJ[\w-]{10,}\.[\w-]{10,}/.test(text)), false)
  }))

  await check('picture-who-acts', () => inBrowser(async (page) => {
    await signIn(page, alice)
    assert.deepEqual(await page.locator('#app-chain li').evaluateAll((items) => items.map((item) => item.dataset.who)), chain)
    const last = await page.innerText('#app-chain li[data-who=thumbnails]')
    assert.match(last, new RegExp(alice.sub))
    assert.match(last, /"sub":"photoapi","act":\{"sub":"photos-gateway"\}/)
  }))

  await check('picture-add-and-delete', () => inBrowser(async (page) => {
    await signIn(page, bob)
    await drawn(page, 3)
    await page.fill('#app-title', 'Smoke <b>signals</b>')
    await page.click('#app-add')
    await drawn(page, 4)
    await page.click('[aria-label="Delete Smoke <b>signals</b>"]')
    await drawn(page, 3)
  }))

  await check('picture-sign-out-is-felt-everywhere', () => inBrowser(async (page) => {
    await signIn(page, alice)
    const token = await tokenOfSession(page)
    const next = await watch(token)
    assert.deepEqual({ ...(await next()), ms: 0 }, { ms: 0, photoapi: 200, thumbnails: 200 })
    await page.goto(bff)
    await says(page, 'Hello ')
    await page.click('#app-logout')
    await page.waitForURL((url) => url.origin === new URL(issuer).origin || url.href === `${bff}/`)
    if (page.url().startsWith(issuer) && await page.locator('#logout-yes').count()) await page.click('#logout-yes')
    await says(page, 'Nobody is signed in.')
    let seen
    for (let one = await next(); one; one = await next()) seen = one
    assert.deepEqual({ photoapi: seen?.photoapi, thumbnails: seen?.thumbnails }, { photoapi: 401, thumbnails: 401 })
    assert.equal((await fetch(`${api}/photos`, { headers: { authorization: `Bearer ${token}` } })).status, 401)
    assert.equal((await page.evaluate(() => fetch('/api/photos', { headers: { 'X-CSRF': '1' } }).then((r) => r.status))), 401)
  }))

  await check('picture-a-session-ended-elsewhere', () => inBrowser(async (page, context) => {
    await signIn(page, alice)
    const other = await context.newPage()
    await other.goto(`${issuer}/logout`)
    await other.click('#logout-yes')
    await other.waitForSelector('#logout-done')
    await says(page, 'You are signed out.') // the stream ends with the session
    assert.equal(await page.isVisible('#app-inside'), false)
  }))

  await check('picture-chain-and-watch-in-the-playground', () => inBrowser(async (page) => {
    await page.goto(playground)
    assert.equal(await page.getAttribute('#pg-bff', 'href'), bff)
    await page.click('#pg-start')
    await page.click('#pg-authorize')
    await page.waitForSelector('#login-form')
    await enter(page, bob)
    await allow(page, page.waitForSelector('#step-callback[data-state=done]'))
    await page.click('#pg-exchange')
    await page.waitForSelector('#step-token[data-state=done]')
    await page.click('#pg-gateway')
    await page.waitForSelector('#pg-album .photo')
    assert.equal(await page.locator(`#pg-log li[data-url="${gateway}/photos"]`).getAttribute('data-status'), '200')
    await page.click('#pg-chain')
    await page.waitForSelector('#step-chain[data-state=done]')
    assert.match(await page.innerText('#step-chain li[data-who=thumbnails]'), new RegExp(`${bob.sub}[^]*"sub":"photoapi","act":\\{"sub":"photos-gateway"`))
    await page.click('#pg-watch')
    await page.waitForSelector('#step-more .notice.good')
    assert.deepEqual(await page.locator('#step-more .lamps li').evaluateAll((items) => items.map((item) => item.dataset.status)), ['401', '401'])
    await looksGood(page, 'playground-stopped')
  }))

  await check('picture-a-service', () => inBrowser(async (page) => {
    await page.goto(playground)
    await page.click('#pg-service')
    await page.waitForURL(`${playground}/service`)
    await looksGood(page, 'service')
    await page.click('#sv-token')
    await page.waitForSelector('#step-ask[data-state=done]')
    await page.click('#sv-photos')
    await page.waitForSelector('#step-use[data-state=done]')
    await page.click('#sv-chain')
    await page.waitForSelector('#step-use li[data-who=thumbnails]')
    await page.click('#sv-watch')
    await page.waitForSelector('#step-end[data-state=done] .notice.good')
    await looksGood(page, 'service-walked')
  }))

  await check('picture-nothing-to-complain', async () => {
    assert.deepEqual(observed.violations, [])
    assert.deepEqual(observed.scriptErrors, [])
    assert.deepEqual(observed.outside, [])
    assert.deepEqual(observed.faults, [])
  })
}

// chain are who has a part in a call of the application.
const chain = ['browser', 'bff', 'gateway', 'photoapi', 'thumbnails']
