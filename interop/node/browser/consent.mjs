// Consent: refusing, answering twice, going back; and the pages that come instead.

import assert from 'node:assert/strict'
import { arrivalsOf, arrived } from '../lib/callback.mjs'
import { assertCode, assertWorks, begin, enter, inBrowser, redeem, shows, signIn } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { callback, ingrid, issuer, otto } from '../lib/stage.mjs'

// toConsent goes as far as the consent page.
async function toConsent(page, request, person = ingrid) {
  await page.goto(request.url)
  await enter(page, person)
  await shows(page, 'consent-allow')
}

export async function consentChecks() {
  await check('consent-denied', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    await toConsent(page, request)
    await page.click('#consent-deny')
    const answer = await arrived(request.state)
    assert.equal(answer.params.get('error'), 'access_denied')
    assert.equal(answer.params.get('iss'), issuer)
    assert.equal(answer.params.has('code'), false)
  }))

  await check('consent-remembered', () => inBrowser(async (page) => {
    await signIn(page, begin({ client: 'interop-post', scope: 'openid email' }), otto)
    const same = begin({ client: 'interop-post', scope: 'openid email' })
    await page.goto(same.url)
    await assertWorks(same, await arrived(same.state), otto)
    await page.goto(begin({ client: 'interop-post', scope: 'openid email photos:read' }).url)
    await shows(page, 'consent-allow') // more than was allowed
  }))

  await check('consent-public-client-always-asked', () => inBrowser(async (page) => {
    const make = () => begin({ client: 'interop-native' })
    await signIn(page, make(), otto)
    await page.goto(make().url)
    await shows(page, 'consent-allow')
  }))

  await check('consent-double-click', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    await toConsent(page, request)
    await page.dblclick('#consent-allow')
    const answer = await arrived(request.state)
    await page.waitForURL((url) => url.href.startsWith(callback))
    assert.equal(new Set(arrivalsOf(request.state).map((a) => a.url.href)).size, 1, 'two answers')
    await assertWorks(request, answer, ingrid)
  }))

  await check('consent-sent-twice-same-redirect', () => inBrowser(async (page, context) => {
    const request = begin({ prompt: 'consent' })
    await toConsent(page, request)
    const form = await page.$eval('#consent-form', (f) => ({ action: f.action, fields: Object.fromEntries(new FormData(f)) }))
    const send = async () => {
      const answer = await context.request.post(form.action, { form: { ...form.fields, decision: 'allow' }, headers: { origin: issuer }, maxRedirects: 0 })
      return { status: answer.status(), location: answer.headers().location }
    }
    const answers = await Promise.all([send(), send(), send()])
    assert.deepEqual(answers.map((a) => a.status), [303, 303, 303])
    assert.equal(new Set(answers.map((a) => a.location)).size, 1, 'different redirects')
    await assertWorks(request, { params: new URL(answers[0].location).searchParams }, ingrid)
    const late = await context.request.post(form.action, { form: { ...form.fields, decision: 'allow' }, headers: { origin: issuer }, maxRedirects: 0 })
    assert.ok(late.status() < 500 && !late.headers().location, `HTTP ${late.status()} after the redemption`)
    assert.match(await late.text(), /id="finished-page"/)
  }))

  await check('consent-form-of-another-site-refused', () => inBrowser(async (page, context) => {
    const request = begin({ prompt: 'consent' })
    await toConsent(page, request)
    const form = await page.$eval('#consent-form', (f) => ({ action: f.action, fields: Object.fromEntries(new FormData(f)) }))
    for (const [name, change] of Object.entries({ 'no csrf': { csrf: '' }, 'wrong csrf': { csrf: 'AAAA' } })) {
      const answer = await context.request.post(form.action, { form: { ...form.fields, ...change, decision: 'allow' }, headers: { origin: issuer }, maxRedirects: 0 })
      assert.ok(answer.status() >= 400 && answer.status() < 500, `${name}: HTTP ${answer.status()}`)
    }
    const foreign = await context.request.post(form.action, { form: { ...form.fields, decision: 'allow' }, headers: { origin: callback }, maxRedirects: 0 })
    assert.ok(foreign.status() >= 400 && foreign.status() < 500, `another origin: HTTP ${foreign.status()}`)
    await page.click('#consent-allow')
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('reload-consent-page', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    await toConsent(page, request)
    await page.reload()
    await shows(page, 'consent-allow')
    await page.click('#consent-allow')
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('back-after-finishing', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    await toConsent(page, request)
    await page.click('#consent-allow')
    const answer = await arrived(request.state)
    await page.waitForSelector('#arrived')
    await assertWorks(request, answer, ingrid)
    await page.goBack()
    if (await page.isVisible('#consent-allow')) await page.click('#consent-allow')
    await shows(page, 'finished-page')
    assert.equal(arrivalsOf(request.state).length, 1, 'the application was called again')
    for (let i = 0; i < 3; i++) {
      const response = await page.goBack().catch(() => null)
      assert.ok(!response || response.status() < 500, `HTTP ${response?.status()}`)
    }
  }))

  await check('back-to-login-and-on', () => inBrowser(async (page) => {
    const request = begin({ prompt: 'consent' })
    await toConsent(page, request)
    await page.goBack()
    await shows(page, 'login-form')
    await enter(page, ingrid)
    await shows(page, 'consent-allow')
    await page.click('#consent-allow')
    await assertWorks(request, await arrived(request.state), ingrid)
  }))

  await check('login-finished-in-another-tab', () => inBrowser(async (one, context) => {
    // The same request in two tabs, as a restored session does it: one answer.
    const request = begin({ prompt: 'consent' })
    await toConsent(one, request)
    const two = await context.newPage()
    await two.goto(one.url())
    await shows(two, 'consent-allow')
    await one.click('#consent-allow')
    const answer = await arrived(request.state)
    assertCode(request, answer)
    await redeem(request, answer)
    await two.click('#consent-allow')
    await shows(two, 'finished-page')
  }))

  await check('error-page-unknown-client', () => inBrowser(async (page) => {
    const response = await page.goto(begin({ client: 'nobody' }).url)
    assert.equal(response.status(), 400)
    await shows(page, 'error-page')
    assert.match(await page.innerText('#error-id'), /\S{6,}/)
  }))

  await check('error-page-unregistered-redirect', () => inBrowser(async (page) => {
    await page.goto(begin({ redirect: `${callback}/elsewhere` }).url)
    await shows(page, 'error-page')
  }))

  await check('error-page-other-browser', async () => {
    const address = await inBrowser(async (page) => {
      await toConsent(page, begin({ prompt: 'consent' }))
      return page.url()
    })
    await inBrowser(async (page) => {
      const response = await page.goto(address)
      assert.ok(response.status() >= 400 && response.status() < 500, `HTTP ${response.status()}`)
      await shows(page, 'error-page')
    })
  })

  await check('framing-refused', () => inBrowser({ unwatched: true }, async (page) => {
    const request = begin()
    await page.goto(`${callback}/framing?src=${encodeURIComponent(request.url)}`)
    const [, frame] = page.frames()
    await frame.waitForURL((url) => !['', 'about:blank'].includes(url.href))
    assert.match(frame.url(), /^chrome-error:/)
    await page.goto(request.url)
    await shows(page, 'login-form')
  }))
}
