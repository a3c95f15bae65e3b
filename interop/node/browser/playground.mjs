// The playground of `gatehouse dev`, step by step, as a newcomer walks it.

import assert from 'node:assert/strict'
import { enter, inBrowser, shows } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { picture } from '../lib/looks.mjs'
import { api, issuer, playground, users } from '../lib/stage.mjs'

async function state(page, step, wanted) {
  const selector = `#step-${step}[data-state="${wanted}"]`
  await page.waitForSelector(selector).catch(async () => {
    const section = await page.locator(`#step-${step}`)
    throw new Error(`step ${step} is ${await section.getAttribute('data-state')}, not ${wanted}: ${(await section.innerText()).replaceAll(/\s+/g, ' ').slice(-300)}`)
  })
}

// press presses a button and waits for the next exchange in the log, which it returns.
async function press(page, button) {
  const count = await page.locator('#pg-log li').count()
  await page.click(`#${button}`)
  await page.waitForFunction((n) => document.querySelectorAll('#pg-log li').length > n, count)
  const { method, url, status } = await page.locator('#pg-log li').nth(count).evaluate((e) => ({ ...e.dataset }))
  return `${method} ${url} ${status}`
}

// noBadMarks says that every check the page shows has passed.
async function noBadMarks(page, step) {
  assert.deepEqual(await page.locator(`#step-${step} .checks li.bad`).allInnerTexts(), [])
}

async function toSignIn(page) {
  await page.goto(playground)
  await page.click('#pg-start')
  await state(page, 'authorize', 'ready')
  await page.click('#pg-authorize')
  await shows(page, 'login-form')
}

export async function playgroundChecks() {
  await check('playground-walk', () => inBrowser(async (page) => {
    const [person] = users
    await toSignIn(page)
    await enter(page, person)
    await shows(page, 'consent-allow')
    await page.click('#consent-allow')
    await state(page, 'callback', 'done')
    await noBadMarks(page, 'callback')

    assert.match(await press(page, 'pg-exchange'), /^POST .*\/token 200$/)
    await state(page, 'token', 'done')
    await noBadMarks(page, 'token')
    assert.ok((await page.innerText('#step-token')).includes(person.sub))

    assert.equal(await press(page, 'pg-call-bare'), `GET ${api}/photos 401`)
    assert.equal(await press(page, 'pg-call-api'), `GET ${api}/photos 200`)
    await state(page, 'api', 'done')
    assert.match(await press(page, 'pg-add-photo'), /^POST .*\/photos (201|403)$/)

    assert.deepEqual(await picture(page, 'playground-walked'), [])

    assert.match(await press(page, 'pg-userinfo'), /\/userinfo 200$/)
    assert.match(await press(page, 'pg-refresh'), /\/token 200$/)
    await noBadMarks(page, 'more')
    assert.equal(await press(page, 'pg-call-api'), `GET ${api}/photos 200`)
    assert.match(await press(page, 'pg-replay'), /\/token 200$/) // within the grace: the same successor
    assert.match(await press(page, 'pg-revoke'), /\/revoke 200$/)
    assert.match(await press(page, 'pg-refresh'), /\/token 400$/)
    assert.match(await press(page, 'pg-userinfo'), /\/userinfo 401$/)

    await page.click('#pg-logout')
    await shows(page, 'pg-signed-out')
    assert.ok(page.url().startsWith(playground))
    await toSignIn(page) // and not through without a password
  }))

  await check('playground-second-redemption', () => inBrowser(async (page) => {
    await toSignIn(page)
    await enter(page, users[1])
    await page.click('#consent-allow')
    await state(page, 'callback', 'done')
    assert.match(await press(page, 'pg-exchange'), /\/token 200$/)
    await state(page, 'token', 'done')
    assert.match(await press(page, 'pg-exchange'), /\/token 400$/)
    assert.match(await press(page, 'pg-refresh'), /\/token 400$/) // the grant ended with it
  }))

  await check('playground-denied', () => inBrowser(async (page) => {
    await toSignIn(page)
    await enter(page, users[1])
    await page.click('#consent-deny')
    await state(page, 'callback', 'failed')
    assert.ok((await page.innerText('#step-callback')).includes('access_denied'))
  }))

  await check('playground-unasked-answer', () => inBrowser(async (page) => {
    await page.goto(`${playground}/callback?code=ghc_stolen&state=x&iss=${encodeURIComponent(issuer)}`)
    await state(page, 'callback', 'failed')
    assert.equal(await page.locator('#step-token').getAttribute('data-state'), 'waiting')
  }))
}
