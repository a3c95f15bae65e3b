// Signing out: with a hint, with none, and to places that nobody registered.

import assert from 'node:assert/strict'
import { arrived } from '../lib/callback.mjs'
import { assertWorks, begin, endSession, inBrowser, redeem, shows, signIn } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { callback, ingrid, issuer } from '../lib/stage.mjs'

async function signedIn(page) {
  const request = begin()
  return assertWorks(request, await signIn(page, request, ingrid), ingrid)
}

async function isSignedIn(page) {
  const request = begin({ prompt: 'none' })
  await page.goto(request.url)
  const answer = await arrived(request.state)
  if (answer.params.get('error') === 'login_required') return false
  const tokens = await redeem(request, answer)
  assert.equal(tokens.status, 200)
  return true
}

function address(params) {
  return `${endSession}?${new URLSearchParams(params)}`
}

export async function logoutChecks() {
  await check('logout-with-hint', () => inBrowser(async (page, context) => {
    const tokens = await signedIn(page)
    assert.equal(await isSignedIn(page), true)
    const state = crypto.randomUUID()
    await page.goto(address({ id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/logged-out`, state }))
    assert.equal(page.url(), `${callback}/logged-out?state=${state}`)
    assert.equal(await isSignedIn(page), false)
    const host = new URL(issuer)
    assert.ok((await context.cookies()).filter((c) => c.domain === host.hostname && c.name.includes('session')).length === 0, 'the session cookie is still there')
  }))

  await check('logout-with-hint-and-no-uri', () => inBrowser(async (page) => {
    const tokens = await signedIn(page)
    await page.goto(address({ id_token_hint: tokens.id_token }))
    await shows(page, 'logout-done')
    assert.equal(await isSignedIn(page), false)
  }))

  await check('logout-without-hint', () => inBrowser(async (page) => {
    await signedIn(page)
    await page.goto(address({ post_logout_redirect_uri: `${callback}/logged-out` }))
    await shows(page, 'logout-confirm-page')
    assert.equal(await isSignedIn(page), true) // looking at the page is not signing out
    await page.goto(address({ post_logout_redirect_uri: `${callback}/logged-out` }))
    await page.click('#logout-yes')
    await shows(page, 'logout-done')
    assert.ok(page.url().startsWith(issuer), 'redirected without a hint')
    assert.equal(await isSignedIn(page), false)
  }))

  await check('logout-unregistered-uri', () => inBrowser(async (page) => {
    const tokens = await signedIn(page)
    await page.goto(address({ id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/elsewhere` }))
    assert.ok(page.url().startsWith(issuer), `redirected to ${page.url()}`)
  }))

  await check('logout-modified-hint', () => inBrowser(async (page) => {
    const tokens = await signedIn(page)
    const [head, , signature] = tokens.id_token.split('.')
    const claims = Buffer.from(JSON.stringify({ iss: issuer, sub: ingrid.sub, aud: 'interop-web' })).toString('base64url')
    await page.goto(address({ id_token_hint: [head, claims, signature].join('.'), post_logout_redirect_uri: `${callback}/logged-out` }))
    assert.ok(page.url().startsWith(issuer), `redirected to ${page.url()}`)
    assert.equal(await isSignedIn(page), true)
  }))

  await check('logout-twice', () => inBrowser(async (page) => {
    await signedIn(page)
    await page.goto(address({}))
    await page.click('#logout-yes')
    await shows(page, 'logout-done')
    await page.goBack()
    if (await page.isVisible('#logout-yes')) await page.click('#logout-yes')
    await shows(page, 'logout-done')
    assert.equal(await isSignedIn(page), false)
  }))

  await check('logout-by-post-of-the-application', () => inBrowser(async (page) => {
    const tokens = await signedIn(page)
    await page.goto(`${callback}/empty`)
    await page.evaluate(([action, fields]) => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action })
      for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }))
      document.body.append(form)
      form.submit()
    }, [endSession, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/logged-out` }])
    await page.waitForURL(`${callback}/logged-out`)
    assert.equal(await isSignedIn(page), false)
  }))
}
