// The sample application of examples/bff in Chromium, behind our backend for frontend,
// at a provider that nobody here wrote. GATEHOUSE_INTEROP says where.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { chromium as playwright } from 'playwright-core'
import { check, finish } from './lib/check.mjs'

const { app, chromium, screenshots } = JSON.parse(process.env.GATEHOUSE_INTEROP)
const browser = await playwright.launch({ executablePath: chromium, headless: true, args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'] })

// Another origin on this machine: the same site for cookies, and a stranger to us.
const stranger = createServer((request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<title>evil</title>'))
await new Promise((resolve) => stranger.listen(0, '127.0.0.1', resolve))
const evil = `http://127.0.0.1:${stranger.address().port}/`

try {
  const context = await browser.newContext()
  context.setDefaultTimeout(15_000)
  const page = await context.newPage()
  const errors = []
  page.on('pageerror', (error) => errors.push(error.message))
  const bodies = []
  page.on('response', async (response) => {
    if (response.url().startsWith(app)) bodies.push(await response.text().catch(() => ''))
  })
  const says = (text) => page.waitForFunction((wanted) => document.getElementById('status')?.textContent.includes(wanted), text)

  await check('signed-out-at-first', async () => {
    await page.goto(app)
    await says('Nobody is signed in.')
    assert.equal(await page.isVisible('#login'), true)
    assert.equal(await page.isVisible('#logout'), false)
  })

  await check('sign-in-and-back', async () => {
    await page.goto(`${app}/?here=1`)
    await says('Nobody')
    await page.click('#login')
    await page.fill('input[name=login]', 'alice')
    await page.fill('input[name=password]', 'any password')
    await page.click('button[type=submit]')
    await page.waitForSelector('button:has-text("Continue")')
    await page.click('button:has-text("Continue")')
    await says('Hello alice.') // the strict cookie went with the first request
    assert.equal(page.url(), `${app}/?here=1`)
    if (screenshots) await page.screenshot({ path: `${screenshots}/bff.png` })
  })

  await check('no-token-in-the-browser', async () => {
    const held = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]))
    assert.equal(held, '["",{},{}]')
    const cookies = (await context.cookies(app)).filter((cookie) => cookie.name.startsWith('bff'))
    assert.equal(cookies.length, 1)
    assert.equal(cookies[0].httpOnly, true)
    assert.equal(cookies[0].sameSite, 'Strict')
    assert.equal(bodies.some((text) => /access_token|refresh_token|eyJ[\w-]{10,}\.[\w-]{10,}/.test(text)), false)
  })

  await check('an-api-call', async () => {
    await page.click('#load')
    await page.waitForSelector('#photos li')
    assert.deepEqual(await page.locator('#photos li').allInnerTexts(), ['A lake', 'A hill'])
  })

  await check('a-stream', async () => {
    await page.waitForFunction(() => document.getElementById('events').textContent === 'The API says hello.')
  })

  await check('other-origins-are-refused', async () => {
    const other = await context.newPage()
    await other.goto(evil)
    const results = await other.evaluate(async (app) => {
      const attempt = (options) => fetch(`${app}/api/photos`, { credentials: 'include', ...options }).then((r) => `answered ${r.status}`, () => 'blocked')
      const socket = await new Promise((resolve) => {
        const one = new WebSocket(`${app.replace('http', 'ws')}/api/events`)
        one.onopen = () => resolve('open')
        one.onerror = () => resolve('blocked')
      })
      const stream = await new Promise((resolve) => {
        const one = new EventSource(`${app}/api/events`, { withCredentials: true })
        one.onmessage = () => resolve('message')
        one.onerror = () => { one.close(); resolve('blocked') }
      })
      return [await attempt({}), await attempt({ headers: { 'X-CSRF': '1' } }), await attempt({ method: 'POST', body: 'x' }), socket, stream]
    }, app)
    assert.deepEqual(results, Array(5).fill('blocked'))
    // A form of theirs signs nobody out.
    await other.setContent(`<form method="post" action="${app}/bff/logout"><button>x</button></form>`)
    const [answer] = await Promise.all([other.waitForNavigation(), other.click('button')])
    assert.equal(answer.status(), 403)
    await other.close()
    await page.reload()
    await says('Hello alice.')
  })

  await check('sign-out-ends-the-stream', async () => {
    const second = await context.newPage()
    await second.goto(app)
    await second.waitForFunction(() => document.getElementById('events').textContent === 'The API says hello.')
    await page.click('#logout')
    await second.waitForFunction(() => document.getElementById('status').textContent === 'You are signed out.')
    assert.equal(await second.isVisible('#login'), true)
    await page.waitForSelector('button[name=logout]')
    await page.click('button[name=logout]')
    await page.waitForURL(`${app}/`)
    await says('Nobody is signed in.')
    assert.deepEqual(errors, [])
  })
} finally {
  await browser.close()
  stranger.close()
}
finish()
