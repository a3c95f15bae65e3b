// What can be measured of a page's looks, and its pictures.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { screenshots } from './stage.mjs'

const widths = [360, 1280]
const schemes = ['light', 'dark']

// picture looks at the page light and dark, narrow and wide: it returns what is wrong and,
// if pictures were asked for, writes them.
export async function picture(page, name) {
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

// accessibility returns what a screen reader would miss. It runs in the page.
export function accessibility() {
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
