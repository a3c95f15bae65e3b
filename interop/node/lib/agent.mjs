// A browser without a browser: fetch, a cookie jar and HTML forms.

const entities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", '#34': '"', '#39': "'", '#43': '+', '#61': '=', '#96': '`' }

export function decode(text) {
  return text.replaceAll(/&(#x[0-9a-f]+|#\d+|\w+);/gi, (whole, name) => {
    if (name in entities) return entities[name]
    if (/^#x/i.test(name)) return String.fromCodePoint(parseInt(name.slice(2), 16))
    if (name[0] === '#') return String.fromCodePoint(parseInt(name.slice(1), 10))
    return whole
  })
}

function attributes(text) {
  const found = {}
  for (const [, name, , double, single, bare] of text.matchAll(/([^\s=/>]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = decode(double ?? single ?? bare ?? '')
  }
  return found
}

// forms returns the forms of a page: their attributes and their controls in order.
export function forms(html) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, body]) => ({
    ...attributes(head),
    controls: [...body.matchAll(/<(input|button)\b([^>]*)>/gi)].map(([, tag, rest]) => ({ tag: tag.toLowerCase(), ...attributes(rest) })),
  }))
}

export class Agent {
  cookies = new Map()

  async fetch(url, init = {}) {
    const headers = new Headers(init.headers)
    if (this.cookies.size > 0) headers.set('cookie', [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...rest] = line.split(';')
      const name = pair.slice(0, pair.indexOf('=')).trim()
      const value = pair.slice(pair.indexOf('=') + 1).trim()
      if (rest.some((a) => /^\s*max-age=(0|-\d+)\s*$/i.test(a))) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return response
  }

  // open follows redirects until a page, or until the address starts with one of stops.
  async open(url, stops = [], init = {}) {
    let address = new URL(url)
    for (let hops = 0; hops < 20; hops++) {
      const response = await this.fetch(address, init)
      init = {}
      if (![301, 302, 303, 307, 308].includes(response.status)) {
        return { url: address, status: response.status, headers: response.headers, html: await response.text() }
      }
      if (response.status !== 303 && response.status !== 302) throw new Error(`${address.pathname} redirects with ${response.status}`)
      address = new URL(response.headers.get('location'), address)
      if (stops.some((stop) => address.href.startsWith(stop))) return { reached: address }
    }
    throw new Error(`too many redirects, last ${address}`)
  }

  // submit fills the form that holds the control with the id, presses it and follows.
  async submit(page, buttonID, values = {}, stops = []) {
    const form = forms(page.html).find((f) => f.controls.some((c) => c.id === buttonID))
    if (!form) throw new Error(`no form with #${buttonID} on ${page.url.pathname}: ${summary(page.html)}`)
    const body = new URLSearchParams()
    for (const control of form.controls) {
      const pressed = control.id === buttonID
      const button = control.tag === 'button' || control.type === 'submit'
      if (!control.name || (button && !pressed)) continue
      if (['checkbox', 'radio'].includes(control.type) && !('checked' in control)) continue
      body.append(control.name, values[control.id] ?? values[control.name] ?? control.value ?? '')
    }
    const action = new URL(form.action || page.url.href, page.url)
    if ((form.method ?? 'get').toLowerCase() !== 'post') throw new Error(`the form of #${buttonID} is not sent by POST`)
    return this.open(action, stops, { method: 'POST', body, headers: { origin: page.url.origin } })
  }

  // authorize walks the pages as a person would, until the redirect URI is reached
  // ({reached}) or until a page comes that asks for nothing (the page).
  async authorize(url, person, { decision = 'allow', stops, init } = {}) {
    let page = await this.open(url, stops, init)
    const seen = []
    for (let pages = 0; pages < 6 && !page.reached; pages++) {
      if (has(page.html, 'login-submit') && !seen.includes('login')) {
        seen.push('login')
        page = await this.submit(page, 'login-submit', { username: person.username, password: person.password }, stops)
      } else if (has(page.html, `consent-${decision}`) && !seen.includes('consent')) {
        seen.push('consent')
        page = await this.submit(page, `consent-${decision}`, {}, stops)
      } else break
    }
    return { ...page, seen }
  }
}

export function has(html, id) {
  return new RegExp(`\\bid=["']?${id}["'\\s>]`).test(html)
}

export function summary(html) {
  const text = html.replaceAll(/<(style|script)[\s\S]*?<\/\1>/gi, ' ').replaceAll(/<[^>]*>/g, ' ')
  return decode(text).replaceAll(/\s+/g, ' ').trim().slice(0, 300)
}
