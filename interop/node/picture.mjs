// A headless Chromium in the whole picture of a running `gatehouse dev`.

import { launch } from './lib/browser.mjs'
import { openCallback } from './lib/callback.mjs'
import { finish } from './lib/check.mjs'
import { pictureChecks } from './browser/picture.mjs'

const closeCallback = await openCallback()
const browser = await launch()
try {
  await pictureChecks()
} finally {
  await browser.close()
  closeCallback()
}
finish()
