// A browser and openid-client against `gatehouse serve` over https.

import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { assertWorks, begin, endSession, enter, inBrowser, launch, observed, shows, signIn } from './lib/browser.mjs'
import { arrived, openCallback } from './lib/callback.mjs'
import { check, finish } from './lib/check.mjs'
import { callback, ingrid, issuer, secretOf } from './lib/stage.mjs'

const closeCallback = await openCallback()
const browser = await launch()
const https = { ignoreHTTPSErrors: true } // Chromium does not know the test's authority

try {
  await check('discovery', async () => {
    const config = await client.discovery(new URL(issuer), 'interop-web', undefined, client.ClientSecretBasic(secretOf('interop-web')))
    for (const [name, value] of Object.entries(config.serverMetadata())) {
      if (/_endpoint$|^jwks_uri$/.test(name)) assert.ok(value.startsWith(`${issuer}/`), `${name} ${value}`)
    }
  })

  await check('sign-in', () => inBrowser(https, async (page) => {
    const request = begin()
    await assertWorks(request, await signIn(page, request, ingrid), ingrid)
  }))

  await check('host-cookies', () => inBrowser(https, async (page, context) => {
    await signIn(page, begin(), ingrid)
    const cookies = (await context.cookies()).filter((c) => c.domain === 'localhost')
    assert.deepEqual(cookies.map((c) => c.name).sort(), ['__Host-gh-browser-default', '__Host-gh-device-default', '__Host-gh-session-default'])
    for (const cookie of cookies) {
      assert.deepEqual([cookie.secure, cookie.httpOnly, cookie.path, cookie.domain], [true, true, '/', 'localhost'], cookie.name)
      assert.ok(['Lax', 'Strict'].includes(cookie.sameSite), cookie.name)
    }
  }))

  await check('strict-transport-security', () => inBrowser(https, async (page) => {
    const response = await page.goto(begin().url)
    const seconds = /max-age=(\d+)/.exec(response.headers()['strict-transport-security'] ?? '')?.[1]
    assert.ok(Number(seconds) >= 31536000, `max-age ${seconds}`)
  }))

  await check('prompt-none', () => inBrowser(https, async (page) => {
    await signIn(page, begin(), ingrid)
    const request = begin({ prompt: 'none' })
    await page.goto(request.url)
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('form-post', () => inBrowser(https, async (page) => {
    // From https to an http loopback address: browsers let that form pass.
    const request = begin({ response_mode: 'form_post', prompt: 'consent' })
    const answer = await signIn(page, request, ingrid)
    assert.equal(answer.method, 'POST')
    await assertWorks(request, answer, ingrid)
  }))

  await check('wrong-password', () => inBrowser(https, async (page) => {
    await page.goto(begin().url)
    await enter(page, { ...ingrid, password: 'mistyped' })
    await page.waitForSelector('[role=alert]')
  }))

  await check('logout', () => inBrowser(https, async (page) => {
    const request = begin()
    const tokens = await assertWorks(request, await signIn(page, request, ingrid), ingrid)
    await page.goto(`${endSession}?${new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/logged-out` })}`)
    assert.equal(page.url(), `${callback}/logged-out`)
    await page.goto(begin().url)
    await shows(page, 'login-form')
  }))

  await check('nothing-amiss', async () => assert.deepEqual([observed.violations, observed.scriptErrors, observed.outside, observed.faults], [[], [], [], []]))
} finally {
  await browser.close()
  closeCallback()
}
finish()
