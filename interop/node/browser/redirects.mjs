// The way back to the application: every kind of redirect URI, form_post, popups and pages
// that call the token endpoint themselves. Browsers apply form-action to the redirect that
// follows a form, so each of these really has to be seen.

import assert from 'node:assert/strict'
import { arrived, named } from '../lib/callback.mjs'
import { assertCode, assertWorks, begin, enter, inBrowser, redeem, shows, signIn, tokenEndpoint } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { callback, ingrid, issuer, otto, port } from '../lib/stage.mjs'

export async function redirectChecks() {
  await check('redirect-ipv4-loopback', () => inBrowser(async (page) => {
    const request = begin({ client: 'interop-native', redirect: `${callback}/callback` })
    const answer = await signIn(page, request, ingrid)
    assert.equal(answer.host, `127.0.0.1:${port}`)
    await assertWorks(request, answer, ingrid)
  }))

  await check('redirect-ipv6-loopback', () => inBrowser(async (page) => {
    const request = begin({ client: 'interop-native', redirect: `http://[::1]:${port}/callback` })
    await assertWorks(request, await requested(page, request), ingrid)
  }))

  await check('redirect-private-use-scheme', () => inBrowser(async (page) => {
    const request = begin({ client: 'interop-native', redirect: 'com.example.interop:/callback' })
    await assertWorks(request, await requested(page, request), ingrid)
  }))

  await check('redirect-private-use-scheme-denied', () => inBrowser(async (page) => {
    const request = begin({ client: 'interop-native', redirect: 'com.example.interop:/callback' })
    const answer = await requested(page, request, 'consent-deny')
    assert.equal(answer.params.get('error'), 'access_denied')
    assert.equal(answer.params.get('state'), request.state)
  }))

  await check('redirect-to-declared-origin', () => inBrowser(async (page) => {
    // The callback itself redirects on, to an origin that the client declared.
    const request = begin({ client: 'interop-bounce', redirect: `${callback}/bounce`, scope: 'openid' })
    const answer = await signIn(page, request, ingrid)
    await page.waitForURL(`${named}/landed`)
    await assertWorks(request, answer, ingrid)
  }))

  await check('redirect-with-query', () => inBrowser(async (page) => {
    const request = begin({ redirect: `${callback}/callback?kept=yes`, prompt: 'consent' })
    const answer = await signIn(page, request, ingrid)
    assert.equal(answer.params.get('kept'), 'yes')
    await assertWorks(request, answer, ingrid)
  }))

  await check('redirect-without-consent', () => inBrowser(async (page) => {
    // Consent is remembered, so that the redirect follows the sign-in form itself.
    const request = begin()
    await page.goto(request.url)
    await enter(page, ingrid)
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('long-state', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    request.state += 'x'.repeat(2000 - request.state.length)
    const url = new URL(request.url)
    url.searchParams.set('state', request.state)
    const answer = await signIn(page, { ...request, url: url.href }, ingrid)
    await assertWorks(request, answer, ingrid)
  }))

  await check('form-post', () => inBrowser(async (page) => {
    const request = begin({ response_mode: 'form_post', prompt: 'consent' })
    const answer = await signIn(page, request, ingrid)
    assert.equal(answer.method, 'POST')
    assert.equal(answer.url.search, '')
    await assertWorks(request, answer, ingrid)
  }))

  await check('form-post-without-script', () => inBrowser({ javaScriptEnabled: false }, async (page) => {
    const request = begin({ response_mode: 'form_post', prompt: 'consent' })
    await page.goto(request.url)
    await enter(page, ingrid)
    await page.click('#consent-allow')
    await page.click('noscript button, form button')
    const answer = await arrived(request.state)
    assert.equal(answer.method, 'POST')
    await assertWorks(request, answer, ingrid)
  }))

  await check('form-post-denied', () => inBrowser(async (page) => {
    const request = begin({ response_mode: 'form_post', prompt: 'consent' })
    await page.goto(request.url)
    await enter(page, ingrid)
    await page.click('#consent-deny')
    const answer = await arrived(request.state)
    assert.equal(answer.method, 'POST')
    assert.equal(answer.params.get('error'), 'access_denied')
  }))

  await check('post-authorization-request', () => inBrowser(async (page) => {
    // A page of the application posts the request; its cookies are cross-site then.
    await signIn(page, begin(), otto)
    const request = begin()
    await page.goto(`${callback}/empty`)
    await page.evaluate((address) => {
      const url = new URL(address)
      const form = document.createElement('form')
      form.method = 'post'
      form.action = url.origin + url.pathname
      for (const [name, value] of url.searchParams) {
        const input = document.createElement('input')
        Object.assign(input, { type: 'hidden', name, value })
        form.append(input)
      }
      document.body.append(form)
      form.submit()
    }, request.url)
    await assertWorks(request, await arrived(request.state), otto) // without a new sign-in
  }))

  await check('popup-loses-its-opener', () => inBrowser(async (page, context) => {
    // docs/decisions/2026-11-20-pages-are-their-own-browsing-context.md: the sign-in goes
    // through, but neither window has a hold on the other.
    const request = begin({ client: 'interop-spa', prompt: 'consent' })
    await page.goto(`${callback}/empty`)
    const opened = context.waitForEvent('page')
    await page.evaluate((url) => { window.popup = window.open(url, 'sign-in', 'width=500,height=600') }, request.url)
    const popup = await opened
    await shows(popup, 'login-form')
    assert.equal(await popup.evaluate(() => window.opener), null)
    assert.equal(await page.evaluate(() => window.popup.closed), true)
    await enter(popup, ingrid)
    await shows(popup, 'consent-allow')
    await popup.click('#consent-allow')
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('single-page-application', () => inBrowser(async (page) => {
    const request = begin({ client: 'interop-spa', scope: 'openid profile email' })
    const answer = await signIn(page, request, ingrid)
    assertCode(request, answer)
    await page.goto(`${callback}/empty`)
    const seen = await page.evaluate(runInPage, { issuer, request, code: answer.params.get('code') })
    assert.equal(seen.issuer, issuer)
    assert.ok(seen.keys > 0)
    assert.equal(seen.sub, ingrid.sub)
    assert.equal(seen.email, ingrid.email)
    assert.ok(seen.refreshed, 'no refresh')
    assert.equal(seen.revoked, 200)
    assert.equal(seen.after, 401)
  }))

  await check('cross-origin-stranger-refused', () => inBrowser(async (page) => {
    await page.goto(`${named}/empty`) // no client is registered there
    const ask = (address) => page.evaluate(async (url) => {
      try {
        return (await fetch(url, { method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', code: 'x', client_id: 'interop-spa' }) })).status
      } catch {
        return 'blocked'
      }
    }, address)
    assert.equal(await ask(tokenEndpoint), 'blocked')
    assert.equal(await ask(begin().url), 'blocked')
    await page.goto(`${callback}/empty`)
    assert.equal(await ask(tokenEndpoint), 400)
    assert.equal(await ask(begin().url), 'blocked') // never at the authorization endpoint
  }))

  await check('code-of-another-redirect-refused', () => inBrowser(async (page) => {
    const request = begin({ client: 'interop-native', redirect: `${callback}/callback` })
    const answer = await signIn(page, request, ingrid)
    const refused = await redeem({ ...request, redirect: 'com.example.interop:/callback' }, answer)
    assert.deepEqual([refused.status, refused.error], [400, 'invalid_grant'])
    await assertWorks(request, answer, ingrid)
  }))
}

// requested goes through the pages and waits until the browser asks for the redirect URI,
// which need not be an address that this machine can serve.
async function requested(page, request, button = 'consent-allow') {
  await page.goto(request.url)
  await enter(page, ingrid)
  await shows(page, button)
  const asked = page.waitForRequest((r) => r.url().startsWith(request.redirect))
  await page.click(`#${button}`, { noWaitAfter: true })
  const url = await asked.then((r) => r.url(), () => { throw new Error(`the browser did not follow the redirect to ${request.redirect}`) })
  return { params: new URL(url).searchParams }
}

// runInPage is what a single-page application does, in the page.
async function runInPage({ issuer, request, code }) {
  const meta = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
  const keys = (await (await fetch(meta.jwks_uri)).json()).keys.length
  const call = async (address, form, headers = {}) => fetch(address, { method: 'POST', body: new URLSearchParams({ client_id: request.client, ...form }), headers })
  const tokens = await (await call(meta.token_endpoint, { grant_type: 'authorization_code', code, redirect_uri: request.redirect, code_verifier: request.verifier })).json()
  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } })
  const info = await (await fetch(meta.userinfo_endpoint, bearer(tokens.access_token))).json()
  const next = await (await call(meta.token_endpoint, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token })).json()
  const revoked = await call(meta.revocation_endpoint, { token: next.refresh_token })
  const after = await fetch(meta.userinfo_endpoint, bearer(next.access_token))
  return { issuer: meta.issuer, keys, sub: info.sub, email: info.email, refreshed: Boolean(next.access_token), revoked: revoked.status, after: after.status }
}
