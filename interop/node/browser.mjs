// A headless Chromium through every page of a running gatehouse.

import { launch } from './lib/browser.mjs'
import { openCallback } from './lib/callback.mjs'
import { finish } from './lib/check.mjs'
import { accountChecks } from './browser/axe.mjs'
import { consentChecks } from './browser/consent.mjs'
import { logoutChecks } from './browser/logout.mjs'
import { looksChecks } from './browser/looks.mjs'
import { playgroundChecks } from './browser/playground.mjs'
import { redirectChecks } from './browser/redirects.mjs'
import { signInChecks } from './browser/signin.mjs'

const closeCallback = await openCallback()
const browser = await launch()
try {
  await signInChecks()
  await consentChecks()
  await redirectChecks()
  await logoutChecks()
  await playgroundChecks()
  await accountChecks()
  await looksChecks()
} finally {
  await browser.close()
  closeCallback()
}
finish()
