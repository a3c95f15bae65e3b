// npm's oauth4webapi against a running gatehouse: the library below openid-client, whose
// every step is called here by itself.

import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { Agent, summary } from './lib/agent.mjs'
import { check, expectRefusal, finish } from './lib/check.mjs'
import { api, callback, issuer, machine, olga, otto, secretOf } from './lib/stage.mjs'

const open = { [oauth.allowInsecureRequests]: true } // an http loopback issuer
const redirectURI = `${callback}/callback`
const web = { client_id: 'interop-web' }
const basic = (client) => oauth.ClientSecretBasic(secretOf(client.client_id))

let server // its metadata
let session // a sign-in that later checks go on with

// authorize makes an authorization request and walks the pages up to the redirect URI.
async function authorize(client, scope) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()
  const url = new URL(server.authorization_endpoint)
  url.search = new URLSearchParams({
    client_id: client.client_id, redirect_uri: redirectURI, response_type: 'code', scope, state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  })
  const end = await new Agent().authorize(url, olga, { stops: [redirectURI] })
  assert.ok(end.reached, `stopped at ${end.url} with ${end.status}: ${summary(end.html ?? '')}`)
  return { client, verifier, state, nonce, reached: end.reached }
}

async function redeem({ client, verifier, state, nonce, reached }, authentication) {
  const params = oauth.validateAuthResponse(server, client, reached, state)
  const response = await oauth.authorizationCodeGrantRequest(server, client, authentication, params, redirectURI, verifier, open)
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce, requireIdToken: true })
  return { response, tokens }
}

async function userInfo(token, subject) {
  return oauth.processUserInfoResponse(server, web, subject, await oauth.userInfoRequest(server, web, token, open))
}

async function refresh(token) {
  return oauth.processRefreshTokenResponse(server, web, await oauth.refreshTokenGrantRequest(server, web, basic(web), token, open))
}

async function introspect(token, client = web) {
  return oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, basic(client), token, open))
}

async function revoke(token) {
  return oauth.processRevocationResponse(await oauth.revocationRequest(server, web, basic(web), token, open))
}

for (const algorithm of ['oidc', 'oauth2']) {
  await check(`discovery-${algorithm}`, async () => {
    const response = await oauth.discoveryRequest(new URL(issuer), { algorithm, ...open })
    server = await oauth.processDiscoveryResponse(new URL(issuer), response)
    assert.equal(server.authorization_response_iss_parameter_supported, true)
  })
}

await check('discovery-other-issuer-refused', async () => {
  const response = await oauth.discoveryRequest(new URL(issuer), open)
  await expectRefusal(() => oauth.processDiscoveryResponse(new URL('https://elsewhere.example'), response), { code: oauth.JSON_ATTRIBUTE_COMPARISON })
})

await check('code-pkce', async () => {
  session = await authorize(web, 'openid profile email offline_access photos:read')
  Object.assign(session, await redeem(session, basic(web)))
  assert.ok(session.tokens.refresh_token, 'no refresh token')
  assert.equal(session.tokens.token_type, 'bearer')
})

await check('iss-of-the-answer', async () => {
  const request = await authorize(web, 'openid')
  for (const wrong of [null, 'https://elsewhere.example']) {
    const params = new URLSearchParams(request.reached.searchParams)
    if (wrong) params.set('iss', wrong)
    else params.delete('iss')
    await expectRefusal(async () => oauth.validateAuthResponse(server, web, params, request.state), { code: oauth.INVALID_RESPONSE })
  }
  assert.equal((await redeem(request, basic(web))).tokens.token_type, 'bearer')
})

await check('id-token', async () => {
  const claims = oauth.getValidatedIdTokenClaims(session.tokens)
  assert.deepEqual([claims.iss, claims.sub, claims.aud, claims.nonce], [issuer, olga.sub, 'interop-web', session.nonce])
})

await check('id-token-signature', () => oauth.validateApplicationLevelSignature(server, session.response, open))

await check('id-token-other-signature-refused', async () => {
  const [header, claims, signature] = session.tokens.id_token.split('.')
  const other = { ...session.tokens, id_token: `${header}.${claims}.${(signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)}` }
  const response = Response.json(other)
  await oauth.processAuthorizationCodeResponse(server, web, response, { expectedNonce: session.nonce, requireIdToken: true })
  await expectRefusal(() => oauth.validateApplicationLevelSignature(server, response, open), { code: oauth.INVALID_RESPONSE })
})

await check('id-token-other-nonce-refused', async () => {
  const response = Response.json(session.tokens)
  await expectRefusal(
    () => oauth.processAuthorizationCodeResponse(server, web, response, { expectedNonce: oauth.generateRandomNonce(), requireIdToken: true }),
    { code: oauth.JWT_CLAIM_COMPARISON },
  )
})

await check('userinfo', async () => {
  const answer = await userInfo(session.tokens.access_token, olga.sub)
  assert.deepEqual([answer.name, answer.email, answer.email_verified], [olga.name, olga.email, true])
})

await check('userinfo-other-subject-refused', async () => {
  await expectRefusal(() => userInfo(session.tokens.access_token, otto.sub), { code: oauth.JSON_ATTRIBUTE_COMPARISON })
})

await check('access-token-at-the-api', async () => {
  const answer = await oauth.protectedResourceRequest(session.tokens.access_token, 'GET', new URL(`${api}/photos`), undefined, undefined, open)
  assert.equal(answer.status, 200)
})

await check('challenge-of-the-api', async () => {
  const refusal = await expectRefusal(
    () => oauth.protectedResourceRequest(`${session.tokens.access_token}x`, 'GET', new URL(`${api}/photos`), undefined, undefined, open),
    { code: oauth.WWW_AUTHENTICATE_CHALLENGE },
  )
  assert.deepEqual(refusal.cause.map((c) => [c.scheme, c.parameters.error]), [['bearer', 'invalid_token']])
})

await check('refresh', async () => {
  const after = await refresh(session.tokens.refresh_token)
  assert.notEqual(after.refresh_token, session.tokens.refresh_token)
  assert.equal(oauth.getValidatedIdTokenClaims(after).sub, olga.sub)
  session.tokens = after
})

await check('introspection', async () => {
  const answer = await introspect(session.tokens.access_token)
  assert.deepEqual([answer.active, answer.sub, answer.client_id, answer.iss], [true, olga.sub, 'interop-web', issuer])
})

await check('introspection-wrong-secret-refused', async () => {
  const stranger = oauth.ClientSecretBasic('wrong-0123456789abcdefghijklmnopqrstuv')
  const response = await oauth.introspectionRequest(server, web, stranger, session.tokens.access_token, open)
  // RFC 6749 §5.2: Basic was tried, so the answer carries a Basic challenge.
  const refusal = await expectRefusal(() => oauth.processIntrospectionResponse(server, web, response), { code: oauth.WWW_AUTHENTICATE_CHALLENGE, status: 401 })
  assert.equal(refusal.cause[0].scheme, 'basic')
})

await check('revocation', async () => {
  await revoke(session.tokens.access_token)
  assert.deepEqual({ ...(await introspect(session.tokens.access_token)) }, { active: false })
  session.tokens = await refresh(session.tokens.refresh_token)
  assert.equal((await introspect(session.tokens.access_token)).active, true)
  await revoke(session.tokens.refresh_token)
  await expectRefusal(() => refresh(session.tokens.refresh_token), { code: oauth.RESPONSE_BODY_ERROR, error: 'invalid_grant', status: 400 })
})

await check('code-pkce-client-secret-post', async () => {
  const other = { client_id: 'interop-post' }
  const { tokens } = await redeem(await authorize(other, 'openid'), oauth.ClientSecretPost(secretOf(other.client_id)))
  assert.equal(oauth.getValidatedIdTokenClaims(tokens).aud, 'interop-post')
})

await check('client-credentials', async () => {
  const robot = { client_id: machine.client_id }
  const authentication = machine.token_endpoint_auth_method === 'client_secret_post' ? oauth.ClientSecretPost(machine.client_secret) : basic(robot)
  const response = await oauth.clientCredentialsGrantRequest(server, robot, authentication, { scope: 'photos:read' }, open)
  const tokens = await oauth.processClientCredentialsResponse(server, robot, response)
  const answer = await oauth.protectedResourceRequest(tokens.access_token, 'GET', new URL(`${api}/photos`), undefined, undefined, open)
  assert.deepEqual([tokens.scope, tokens.refresh_token, answer.status], ['photos:read', undefined, 200])
})

finish()
