// Every page as a person sees it: light and dark, narrow and wide, with and without scripts.

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { arrived } from '../lib/callback.mjs'
import { assertWorks, begin, endSession, enter, inBrowser, observed, open, redeem, shows } from '../lib/browser.mjs'
import { check } from '../lib/check.mjs'
import { callback, ingrid, playground, screenshots, wanda } from '../lib/stage.mjs'

const widths = [360, 1280]
const schemes = ['light', 'dark']

// gallery brings the browser to each page in turn and lets visit look at it.
async function gallery(page, visit) {
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
  await page.goto(begin({ response_mode: 'form_post' }).url)
  await page.waitForSelector('main')
  await visit('form-post')
  await page.goto(endSession)
  await shows(page, 'logout-confirm-page')
  await visit('logout-confirm')
  await page.click('#logout-yes')
  await shows(page, 'logout-done')
  await visit('logout-done')
}

const galleryPages = ['login', 'login-wrong-password', 'consent', 'finished', 'consent-native', 'select-account', 'login-again',
  'error', 'form-post', 'logout-confirm', 'logout-done']

async function picture(page, name) {
  if (screenshots) mkdirSync(screenshots, { recursive: true })
  const troubles = []
  for (const width of widths) {
    await page.setViewportSize({ width, height: 800 })
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    if (overflow > 0) troubles.push(`${name} scrolls sideways by ${overflow} px at ${width} px`)
    for (const scheme of schemes) {
      await page.emulateMedia({ colorScheme: scheme })
      troubles.push(...(await page.evaluate(contrasts)).map((t) => `${name}, ${scheme}: ${t}`))
      if (screenshots) await page.screenshot({ path: join(screenshots, `${name}-${scheme}-${width}.png`), fullPage: true })
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 })
  return troubles
}

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

// accessibility returns what a screen reader would miss. It runs in the page.
function accessibility() {
  const troubles = []
  const visible = (e) => e.getClientRects().length > 0
  if (!document.documentElement.lang) troubles.push('no language')
  if (!document.title.trim()) troubles.push('no title')
  if (!document.querySelector('meta[name=viewport]')) troubles.push('no viewport')
  const headings = [...document.querySelectorAll('h1')].filter(visible)
  if (headings.length !== 1) troubles.push(`${headings.length} headings of level 1`)
  if (document.querySelectorAll('main').length !== 1) troubles.push('no main part')
  for (const field of document.querySelectorAll('input, select, textarea')) {
    if (field.type === 'hidden' || !visible(field)) continue
    if (!field.labels?.length && !field.getAttribute('aria-label') && !field.getAttribute('aria-labelledby')) troubles.push(`no label for ${field.id || field.name}`)
  }
  for (const button of document.querySelectorAll('button, a[href]')) {
    if (visible(button) && !button.textContent.trim() && !button.getAttribute('aria-label')) troubles.push(`nothing written on ${button.id || button.outerHTML.slice(0, 60)}`)
  }
  for (const image of document.querySelectorAll('img')) if (!image.hasAttribute('alt')) troubles.push('a picture without alt')
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id)
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) troubles.push(`id ${id} twice`)
  if (document.querySelector('[style], style, [onclick], [onload]')) troubles.push('inline style or handler')
  return [...new Set(troubles)]
}

// contrasts returns texts with less contrast than WCAG 2.2 §1.4.3 wants. It runs in the page.
function contrasts() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
  const context = canvas.getContext('2d', { willReadFrequently: true })
  const paint = (colors) => {
    context.clearRect(0, 0, 1, 1)
    for (const color of colors) {
      context.fillStyle = color
      context.fillRect(0, 0, 1, 1)
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
  }
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
  const troubles = new Set()
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement
    const style = getComputedStyle(element)
    if (!node.data.trim() || element.closest('script, style, noscript:not(:has(*))') || !element.getClientRects().length || style.visibility === 'hidden') continue
    const backs = []
    for (let e = element; e; e = e.parentElement) backs.unshift(getComputedStyle(e).backgroundColor)
    backs.unshift(dark ? '#121212' : '#ffffff')
    const [one, two] = [luminance(paint(backs)), luminance(paint([...backs, style.color]))]
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05)
    const size = parseFloat(style.fontSize)
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
    if (ratio < (large ? 3 : 4.5)) troubles.add(`"${node.data.trim().slice(0, 30)}" has a contrast of ${ratio.toFixed(2)}`)
  }
  return [...troubles]
}
