// The clients' side of the browser tests: a small HTTP server on the callback's port, under
// 127.0.0.1 and, where the machine has it, ::1. It remembers what arrived, by state.

import http from 'node:http'
import { callback, port } from './stage.mjs'

export const named = `http://localhost:${port}` // the same server, another origin
export const v6 = `http://[::1]:${port}`

const arrivals = [] // {state, method, url, params, origin}
const waiting = new Set()

export function arrivalsOf(state) {
  return arrivals.filter((a) => a.state === state)
}

// arrived waits for the first answer with that state.
export async function arrived(state, within = 15_000) {
  const [already] = arrivalsOf(state)
  if (already) return already
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      waiting.delete(look)
      reject(new Error(`nothing came to the redirect URI within ${within} ms`))
    }, within)
    function look(arrival) {
      if (arrival.state !== state) return
      clearTimeout(timer)
      waiting.delete(look)
      resolve(arrival)
    }
    waiting.add(look)
  })
}

function page(title, body = '') {
  return `<!doctype html><html lang="en"><title>${title}</title><h1 id="arrived">${title}</h1>${body}</html>`
}

function answer(request, response, body) {
  const url = new URL(request.url, callback)
  const html = (text, headers = {}) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...headers }).end(text)
  switch (url.pathname) {
    case '/callback':
    case '/bounce':
    case '/logged-out': {
      const params = request.method === 'POST' ? new URLSearchParams(body) : url.searchParams
      const arrival = { state: params.get('state'), method: request.method, url, params, origin: request.headers.origin, host: request.headers.host }
      arrivals.push(arrival)
      for (const look of [...waiting]) look(arrival)
      if (url.pathname === '/bounce') return response.writeHead(302, { location: `${named}/landed` }).end()
      return html(page('Back at the application'))
    }
    case '/landed':
    case '/empty':
      return html(page('A page of the application'))
    case '/framing':
      return html(page('A page with a frame', `<iframe id="frame" width="600" height="400" src="${url.searchParams.get('src').replaceAll('&', '&amp;').replaceAll('"', '&quot;')}"></iframe>`))
    case '/violating': // a control: what a violation looks like
      return html(page('A page that breaks its own policy', '<script>window.ran = true</script>'), { 'content-security-policy': "default-src 'none'" })
    default:
      return response.writeHead(404).end()
  }
}

async function listen(host) {
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => { body += chunk })
    request.on('end', () => answer(request, response, body))
  })
  await new Promise((resolve, reject) => server.once('error', reject).listen(Number(port), host, resolve))
  return server
}

// openCallback starts the server; the function it returns stops it.
export async function openCallback() {
  const servers = [await listen('127.0.0.1')]
  try {
    servers.push(await listen('::1'))
  } catch (error) {
    if (!['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(error.code)) throw error
  }
  return () => {
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
  }
}
