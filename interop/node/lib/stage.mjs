// What the harness tells a program about the running gatehouse, in the variable
// GATEHOUSE_INTEROP: the line of `gatehouse dev --json` (of `serve`, only the issuer) and the
// callback's origin.

const told = JSON.parse(process.env.GATEHOUSE_INTEROP ?? 'null')
if (!told) {
  console.error('GATEHOUSE_INTEROP is not set: this program is started by `go test ./interop`')
  process.exit(2)
}

export const { issuer, playground, api, bff, gateway } = told.dev
export const users = told.dev.users ?? []
export const clients = told.dev.clients ?? []
export const callback = told.callback // an origin, http://127.0.0.1:PORT
export const port = new URL(callback).port
export const express = told.express // the origin of the application made with express
export const chromium = told.chromium
export const screenshots = told.screenshots

const own = {
  'interop-web': 'interop-web-0123456789abcdefghijklmnop',
  'interop-post': 'interop-post-0123456789abcdefghijklmnop',
  'interop-oidc': 'interop-oidc-0123456789abcdefghijklmnop',
  'interop-passport': 'interop-passport-0123456789abcdefghijklmnop',
  'interop-bounce': 'interop-bounce-0123456789abcdefghijklmnop',
  'notes-api': 'notes-api-0123456789abcdefghijklmnop',
}

export function secretOf(clientID) {
  const demo = clients.find((c) => c.client_id === clientID)
  const secret = demo?.client_secret ?? own[clientID]
  if (!secret) throw new Error(`no secret is known for ${clientID}`)
  return secret
}

// The ready clients of dev, by what they are.
export const web = clients.find((c) => c.client_secret && c.grant_types.includes('authorization_code'))
export const spa = clients.find((c) => c.token_endpoint_auth_method === 'none' && c.grant_types.includes('authorization_code'))
export const machine = clients.find((c) => c.client_secret && c.grant_types.includes('client_credentials') && c.scope.includes('photos:read'))

// People of testdata/tenant.yaml.
export const ingrid = { username: 'ingrid', password: 'a long walk by the sea', sub: 'user-ingrid', name: 'Ingrid Interop', email: 'ingrid@example.com' }
export const nora = { username: 'nora', password: 'a short ride to the hills', sub: 'user-nora', name: 'Nora Node', email: 'nora@example.com' }
export const olga = { username: 'olga', password: 'a kettle on the small stove', sub: 'user-olga', name: 'Olga Oauth', email: 'olga@example.com' }
export const pascal = { username: 'pascal', password: 'a lantern for the night train', sub: 'user-pascal', name: 'Pascal Passport', email: 'pascal@example.com' }
export const paula = { username: 'paula', password: 'a ladder to the apple tree', sub: 'user-paula' }
export const otto = { username: 'otto', password: 'another walk in the woods', sub: 'user-otto' }
export const wanda = { username: 'wanda', password: 'wanda never signs in here', sub: 'user-wanda' }

export const notes = 'https://notes.example'
