// Signing in: the form, mistakes, tabs, reloads, sessions.

import assert from 'node:assert/strict'
import { arrivalsOf, arrived } from '../lib/callback.mjs'
import { assertCode, assertWorks, begin, claimsOf, consent, enter, inBrowser, shows, signIn } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { callback, ingrid, issuer, otto, wanda, web, users } from '../lib/stage.mjs'

export async function signInChecks() {
  await check('login-consent-allow', () => inBrowser(async (page) => {
    const request = begin({ scope: 'openid profile email photos:read' })
    await page.goto(request.url)
    await shows(page, 'login-form')
    assert.equal(new URL(page.url()).pathname, '/login')
    await enter(page, ingrid)
    await shows(page, 'consent-allow')
    assert.equal(new URL(page.url()).pathname, '/consent')
    const text = await page.textContent('main')
    for (const words of ['Interop Web', 'Ingrid Interop', 'See your photos', '127.0.0.1']) assert.ok(text.includes(words), `the consent page does not say ${words}`)
    await page.click('#consent-allow')
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('demo-web-and-demo-user', () => inBrowser(async (page) => {
    const redirect = web.redirect_uris.find((uri) => uri.startsWith('http://127.0.0.1')).replace(/^http:\/\/127\.0\.0\.1(:\d+)?/, callback)
    const request = begin({ client: web.client_id, redirect })
    await assertWorks(request, await signIn(page, request, users[0]), users[0])
  }))

  await check('sign-in-by-email', () => inBrowser(async (page) => {
    const request = begin()
    await assertWorks(request, await signIn(page, request, { ...ingrid, username: 'Ingrid@Example.com' }), ingrid)
  }))

  await check('sign-in-by-keyboard', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    await page.goto(request.url)
    await shows(page, 'login-form')
    await page.keyboard.type(ingrid.username) // the field has the focus
    await page.keyboard.press('Tab')
    await page.keyboard.type(ingrid.password)
    await page.keyboard.press('Enter')
    await shows(page, 'consent-allow')
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press('Tab')
      if (await page.evaluate(() => document.activeElement?.id === 'consent-allow')) break
    }
    await page.keyboard.press('Enter')
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  let wrongPasswordText
  await check('wrong-password', () => inBrowser(async (page) => {
    const request = begin()
    await page.goto(request.url)
    await enter(page, { username: wanda.username, password: 'not the one' })
    await page.waitForSelector('[role=alert]')
    wrongPasswordText = await page.innerText('main')
    assert.equal(new URL(page.url()).pathname, '/login')
    assert.equal(await page.inputValue('#username'), wanda.username)
    assert.equal(await page.inputValue('#password'), '')
    await enter(page, wanda)
    await page.click('#consent-allow')
    await assertWorks(request, await arrived(request.state), wanda)
  }))

  await check('unknown-user-same-answer', () => inBrowser(async (page) => {
    await page.goto(begin().url)
    await enter(page, { username: 'nobody-at-all', password: 'not the one' })
    await page.waitForSelector('[role=alert]')
    assert.equal(await page.innerText('main'), wrongPasswordText)
    assert.equal(await page.inputValue('#username'), 'nobody-at-all')
  }))

  await check('login-hint', () => inBrowser(async (page) => {
    await page.goto(begin({ login_hint: 'otto' }).url)
    assert.equal(await page.inputValue('#username'), 'otto')
    assert.equal(await page.evaluate(() => document.activeElement.id), 'password')
  }))

  await check('two-tabs', () => inBrowser(async (one, context) => {
    const two = await context.newPage()
    const first = begin({ prompt: 'consent' })
    const second = begin({ client: 'interop-post', prompt: 'consent' })
    await one.goto(first.url)
    await two.goto(second.url)
    await enter(one, ingrid)
    await shows(one, 'consent-allow')
    await enter(two, ingrid) // the page was drawn before there was a session
    await shows(two, 'consent-allow')
    await Promise.all([one.click('#consent-allow'), two.click('#consent-allow')])
    assertCode(second, await arrived(second.state))
    await assertWorks(first, await arrived(first.state), ingrid)
  }))

  await check('two-tabs-two-users', () => inBrowser(async (one, context) => {
    const two = await context.newPage()
    const first = begin({ prompt: 'consent' })
    const second = begin({ prompt: 'consent' })
    await one.goto(first.url)
    await two.goto(second.url)
    await enter(one, ingrid)
    await shows(one, 'consent-allow')
    await enter(two, otto)
    await shows(two, 'consent-allow')
    await one.click('#consent-allow') // Ingrid's page, Otto's session
    await shows(one, 'error-page')
    assert.equal(arrivalsOf(first.state).filter((a) => a.params.has('code')).length, 0, 'a consent shown to Ingrid was taken from Otto')
    await two.click('#consent-allow')
    await assertWorks(second, await arrived(second.state), otto)
  }))

  await check('reload-login-page', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    await page.goto(request.url)
    await page.reload()
    await enter(page, { ...ingrid, password: 'mistyped' })
    await page.waitForSelector('[role=alert]')
    await page.reload() // sends the form again
    await page.waitForSelector('[role=alert]')
    await enter(page, ingrid)
    await shows(page, 'consent-allow')
    await page.click('#consent-allow')
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('prompt-none-after-login', () => inBrowser(async (page) => {
    const tokens = await (async () => {
      const request = begin()
      return assertWorks(request, await signIn(page, request, otto), otto)
    })()
    const silent = begin({ prompt: 'none' })
    await page.goto(silent.url)
    const again = await assertWorks(silent, await arrived(silent.state), otto)
    assert.equal(claimsOf(again).sid, claimsOf(tokens).sid)
  }))

  await check('prompt-none-without-session', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'none' })
    await page.goto(request.url)
    const answer = await arrived(request.state)
    assert.equal(answer.params.get('error'), 'login_required')
    assert.equal(answer.params.get('iss'), issuer)
  }))

  await check('prompt-login-asks-again', () => inBrowser(async (page) => {
    await signIn(page, begin(), otto)
    const request = begin({ prompt: 'login' })
    await page.goto(request.url)
    await shows(page, 'login-form')
    await enter(page, otto)
    await assertWorks(request, await arrived(request.state), otto)
  }))

  await check('select-account-continue', () => inBrowser(async (page) => {
    await signIn(page, begin(), otto)
    const request = begin({ prompt: 'select_account' })
    await page.goto(request.url)
    await shows(page, 'login-continue')
    assert.ok((await page.innerText('#login-continue')).includes('Otto Other'))
    await page.click('#login-continue')
    await assertWorks(request, await arrived(request.state), otto)
  }))

  await check('select-account-other', () => inBrowser(async (page) => {
    await signIn(page, begin(), otto)
    const request = begin({ prompt: 'select_account' })
    await page.goto(request.url)
    await shows(page, 'login-form')
    await enter(page, ingrid)
    await assertWorks(request, await consent(page, request), ingrid)
  }))

  await check('cookies', () => inBrowser(async (page, context) => {
    const host = new URL(issuer)
    const own = async () => (await context.cookies()).filter((c) => c.domain.replace(/^\./, '') === host.hostname)
    await page.goto(begin({ prompt: 'consent' }).url)
    const before = await own()
    assert.equal(before.length, 1, `before the sign-in: ${before.map((c) => c.name)}`)
    const request = begin({ prompt: 'consent' })
    await page.goto(request.url)
    await enter(page, ingrid)
    await shows(page, 'consent-allow')
    const after = await own()
    const kinds = after.map((c) => /^gh-(\w+)-default-\d+$/.exec(c.name)?.[1] ?? c.name)
    assert.deepEqual(kinds.sort(), ['browser', 'device', 'session'])
    for (const cookie of after) {
      assert.equal(cookie.httpOnly, true, `${cookie.name} HttpOnly`)
      assert.ok(['Lax', 'Strict'].includes(cookie.sameSite), `${cookie.name} SameSite=${cookie.sameSite}`)
      assert.equal(cookie.path, '/', `${cookie.name} Path`)
      assert.equal(cookie.domain, host.hostname, `${cookie.name} Domain`)
      assert.equal(cookie.secure, host.protocol === 'https:', `${cookie.name} Secure`)
      assert.ok(cookie.name.endsWith(host.port), `${cookie.name} does not carry the port, which cookies ignore`)
      assert.ok(cookie.value.length >= 22, `${cookie.name} is short`)
    }
    const session = (list) => list.find((c) => c.name.startsWith('gh-session-'))
    const old = session(after).value
    const again = begin({ prompt: 'login' })
    await page.goto(again.url)
    await enter(page, ingrid)
    await page.waitForURL((url) => url.pathname !== '/login')
    assert.notEqual(session(await own()).value, old, 'the session cookie survived a new sign-in')
  }))
}
