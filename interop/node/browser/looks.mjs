// Every page as a person sees it: light and dark, narrow and wide, with and without scripts.

import assert from 'node:assert/strict'
import { arrived } from '../lib/callback.mjs'
import { assertWorks, begin, endSession, enter, inBrowser, observed, open, redeem, shows } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { accessibility, picture } from '../lib/looks.mjs'
import { callback, ingrid, playground, wanda } from '../lib/stage.mjs'

// gallery brings the browser to each page in turn and lets visit look at it.
export async function gallery(page, visit) {
  const request = begin({ prompt: 'consent', scope: 'openid profile email offline_access photos:read photos:write notes:read' })
  await page.goto(request.url)
  await shows(page, 'login-form')
  await visit('login')
  await enter(page, { ...wanda, password: 'mistyped' })
  await page.waitForSelector('[role=alert]')
  await visit('login-wrong-password')
  await enter(page, ingrid)
  await shows(page, 'consent-allow')
  await visit('consent')
  await page.click('#consent-allow')
  const answer = await arrived(request.state)
  await page.waitForSelector('#arrived')
  await redeem(request, answer)
  await page.goBack()
  await shows(page, 'consent-allow')
  await page.click('#consent-allow')
  await shows(page, 'finished-page')
  await visit('finished')
  await page.goto(begin({ client: 'interop-native', redirect: 'com.example.interop:/callback', scope: 'openid offline_access notes:read notes:write' }).url)
  await shows(page, 'consent-allow')
  await visit('consent-native')
  await page.goto(begin({ prompt: 'select_account' }).url)
  await shows(page, 'login-continue')
  await visit('select-account')
  await page.goto(begin({ prompt: 'login', login_hint: 'ingrid@example.com' }).url)
  await shows(page, 'login-form')
  await visit('login-again')
  await page.goto(begin({ client: 'nobody' }).url)
  await shows(page, 'error-page')
  await visit('error')
  await page.goto(begin({ response_mode: 'form_post' }).url, { waitUntil: 'commit' })
  await page.waitForSelector('main')
  await visit('form-post')
  await page.goto(endSession)
  await shows(page, 'logout-confirm-page')
  await visit('logout-confirm')
  await page.click('#logout-yes')
  await shows(page, 'logout-done')
  await visit('logout-done')
}

export const galleryPages = ['login', 'login-wrong-password', 'consent', 'finished', 'consent-native', 'select-account', 'login-again',
  'error', 'form-post', 'logout-confirm', 'logout-done']

export async function looksChecks() {
  await check('pages-without-scripts', () => inBrowser({ javaScriptEnabled: false }, async (page) => {
    const seen = []
    await gallery(page, async (name) => { seen.push(name) })
    assert.deepEqual(seen, galleryPages)
  }))

  const bare = []
  const crooked = []
  await check('pages-all-seen', async () => {
    // Without scripts, so that the form_post page stays; the page's own scripts are not
    // what is looked at.
    const context = await open({ javaScriptEnabled: false })
    try {
      const page = await context.newPage()
      const seen = []
      await gallery(page, async (name) => {
        seen.push(name)
        bare.push(...(await page.evaluate(accessibility)).map((t) => `${name}: ${t}`))
        crooked.push(...await picture(page, name))
      })
      assert.deepEqual(seen, galleryPages)
    } finally {
      await context.close()
    }
  })
  await check('pages-labelled', async () => assert.deepEqual(bare, []))
  await check('pages-fit-and-contrast', async () => assert.deepEqual(crooked, []))

  await check('playground-looks', () => inBrowser(async (page) => {
    await page.goto(playground)
    await page.waitForSelector('main')
    const troubles = (await page.evaluate(accessibility)).concat(await picture(page, 'playground'))
    assert.deepEqual(troubles, [])
  }))

  await check('violations-would-be-seen', () => inBrowser(async (page) => {
    await page.goto(`${callback}/violating`)
    assert.equal(await page.evaluate(() => window.ran), undefined)
    assert.equal(observed.violations.length > 0, true, 'the watch does not see violations')
    observed.violations = observed.violations.filter((line) => !line.startsWith('/violating:'))
  }))
  await check('no-csp-violations', async () => assert.deepEqual(observed.violations, []))
  await check('no-script-errors', async () => assert.deepEqual(observed.scriptErrors, []))
  await check('no-external-requests', async () => assert.deepEqual(observed.outside, []))
  await check('no-server-errors', async () => assert.deepEqual(observed.faults, []))
  await check('watched-pages', async () => {
    for (const path of ['/login', '/consent', '/logout']) assert.ok(observed.pages.has(path), `${path} was never watched`)
  })
}
