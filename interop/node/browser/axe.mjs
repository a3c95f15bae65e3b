// The account page as its owner uses it, and every page as axe-core sees it: light and dark,
// in each language.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { assertWorks, begin, enter, inBrowser, open, redeem, shows, signIn, tokenEndpoint } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { arrived } from '../lib/callback.mjs'
import { picture } from '../lib/looks.mjs'
import { callback, ingrid, issuer, paula, secretOf } from '../lib/stage.mjs'
import { gallery, galleryPages } from './looks.mjs'

const axe = createRequire(import.meta.url)('axe-core').source
const account = `${issuer}/account`

const schemes = ['light', 'dark']
const languages = { en: 'en-GB', de: 'de-DE' }

// findings returns what axe-core finds on the page, of any gravity.
export async function findings(page, name) {
  await page.evaluate(axe)
  const { violations, passes } = await page.evaluate(() => window.axe.run(document))
  if (passes.length < 10) return [`${name}: axe passed only ${passes.length} rules`]
  return violations.map((v) => `${name}: ${v.impact} ${v.id} at ${v.nodes.map((n) => n.target.join(' ')).join(', ').slice(0, 120)}`)
}

// accountGallery brings the browser to the pages around an account.
async function accountGallery(page, visit) {
  await page.goto(account)
  await shows(page, 'login-form')
  await visit('account-login')
  await enter(page, ingrid)
  await shows(page, 'account-page')
  await visit('account')
  await changePassword(page, ingrid.password, 'password123')
  await shows(page, 'password-error')
  await visit('account-password')
}

async function changePassword(page, current, chosen) {
  await page.click('#password summary')
  await page.fill('#current', current)
  await page.fill('#new', chosen)
  await page.fill('#again', chosen)
  await page.click('#password-submit')
}

export async function accountChecks() {
  await check('account-sign-in-and-back', () => inBrowser(async (page) => {
    await page.goto(`${account}?next=https://evil.example/`)
    await shows(page, 'login-form')
    await enter(page, ingrid)
    await shows(page, 'account-page')
    assert.equal(page.url(), account)
    const text = await page.textContent('main')
    for (const words of ['Ingrid Interop', ingrid.email, 'Linux', 'This browser']) assert.ok(text.includes(words), `the account page does not say ${words}`)
  }))

  await check('account-by-keyboard', () => inBrowser(async (page) => {
    await page.goto(account)
    await shows(page, 'login-form')
    await page.keyboard.type(ingrid.username)
    await page.keyboard.press('Tab')
    await page.keyboard.type(ingrid.password)
    await page.keyboard.press('Enter')
    await shows(page, 'account-page')
    const reached = []
    for (let i = 0; i < 60 && !reached.includes('SUMMARY'); i++) {
      await page.keyboard.press('Tab')
      reached.push(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName))
    }
    assert.ok(reached.includes('account-sign-out') && reached.includes('SUMMARY'), `the keyboard reaches ${reached}`)
    await page.keyboard.press('Enter') // opens the form
    await page.keyboard.press('Tab')
    await page.keyboard.type('not the one')
    await page.keyboard.press('Tab')
    await page.keyboard.type('four unusual words')
    await page.keyboard.press('Tab')
    await page.keyboard.type('four unusual words')
    await page.keyboard.press('Enter')
    await shows(page, 'password-error')
    assert.equal(await page.evaluate(() => document.activeElement.id), 'current')
    assert.equal(await page.getAttribute('#current', 'aria-invalid'), 'true')
  }))

  await check('account-ends-sessions', () => inBrowser((here) => inBrowser(async (there) => {
    for (const page of [here, there]) {
      await page.goto(account)
      await enter(page, paula)
      await shows(page, 'account-page')
    }
    await there.reload()
    assert.equal(await there.locator('#sessions .item').count(), 2)
    assert.ok((await there.textContent('#events')).includes('new device'), 'the second device is not told')
    await there.click('.session-end')
    await shows(there, 'account-notice')
    assert.equal(await there.locator('#sessions .item').count(), 1)
    await here.goto(account)
    await shows(here, 'login-form')
  })))

  await check('account-withdraws', () => inBrowser(async (page) => {
    const request = begin({ scope: 'openid offline_access photos:read' })
    const tokens = await assertWorks(request, await signIn(page, request, paula), paula)
    await page.goto(account)
    await shows(page, 'account-page')
    const text = await page.textContent('#allowed')
    for (const words of ['Interop Web', 'See your photos', 'stays while you are away']) assert.ok(text.includes(words), `what was allowed does not say ${words}`)
    await page.click('.withdraw')
    await shows(page, 'account-notice')
    assert.ok(!(await page.textContent('#allowed')).includes('Interop Web'))
    const refused = await refresh(tokens.refresh_token)
    assert.equal(refused.error, 'invalid_grant')
    const again = begin({ scope: 'openid offline_access photos:read' })
    await page.goto(again.url)
    await shows(page, 'consent-allow') // it has to ask
    await page.click('#consent-allow')
    await redeem(again, await arrived(again.state))
    await page.waitForSelector('#arrived')
  }))

  await check('account-password', () => inBrowser((here) => inBrowser(async (there) => {
    for (const page of [here, there]) {
      await page.goto(account)
      await enter(page, paula)
      await shows(page, 'account-page')
    }
    await changePassword(here, paula.password, 'four unusual words')
    await shows(here, 'account-notice')
    assert.equal(await here.locator('#sessions .item').count(), 1)
    await there.goto(account)
    await shows(there, 'login-form')
    await enter(there, paula)
    await there.waitForSelector('[role=alert]')
    await enter(there, { ...paula, password: 'four unusual words' })
    await shows(there, 'account-page')
    assert.ok((await there.textContent('#events')).includes('You changed your password'))
  })))

  await check('pages-in-german', () => inBrowser({ locale: languages.de }, async (page) => {
    await page.goto(begin().url)
    await shows(page, 'login-form')
    assert.equal(await page.getAttribute('html', 'lang'), 'de')
    assert.equal((await page.textContent('#login-submit')).trim(), 'Anmelden')
    await page.goto(begin({ ui_locales: 'fr en' }).url) // the application's choice comes first
    await shows(page, 'login-form')
    assert.equal(await page.getAttribute('html', 'lang'), 'en')
  }))

  await check('account-looks', async () => {
    const context = await open({ javaScriptEnabled: false })
    try {
      const page = await context.newPage()
      const troubles = []
      await accountGallery(page, async (name) => { troubles.push(...await picture(page, name)) })
      assert.deepEqual(troubles, [])
    } finally {
      await context.close()
    }
  })

  for (const scheme of schemes) {
    for (const [language, locale] of Object.entries(languages)) {
      await check(`axe-${scheme}-${language}`, () => inBrowser({ colorScheme: scheme, locale }, async (page) => {
        // The page of form_post stays when the answer to its form is no content.
        await page.route((url) => url.origin === callback, (route) => (route.request().method() === 'POST' ? route.fulfill({ status: 204 }) : route.continue()))
        const seen = []
        const found = []
        const visit = async (name) => {
          seen.push(name)
          assert.equal(await page.getAttribute('html', 'lang'), language, name)
          found.push(...await findings(page, name))
        }
        await gallery(page, visit)
        await accountGallery(page, visit)
        assert.deepEqual(seen, [...galleryPages, 'account-login', 'account', 'account-password'])
        assert.deepEqual(found, [])
      }))
    }
  }
}

async function refresh(token) {
  const response = await fetch(tokenEndpoint, {
    method: 'POST', body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }),
    headers: { authorization: `Basic ${Buffer.from(`interop-web:${secretOf('interop-web')}`).toString('base64')}` },
  })
  return response.json()
}
