// npm's openid-client against a running gatehouse.

import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { Agent, forms, has, summary } from './lib/agent.mjs'
import { check, expectRefusal, finish } from './lib/check.mjs'
import { api, callback, nora, issuer, machine, notes, otto, secretOf, spa, users, web } from './lib/stage.mjs'

const open = { execute: [client.allowInsecureRequests] } // an http loopback issuer
const redirectURI = `${callback}/callback`

function discover(clientID, authentication, metadata) {
  return client.discovery(new URL(issuer), clientID, metadata, authentication, open)
}

const basic = (id) => discover(id, client.ClientSecretBasic(secretOf(id)))
const post = (id) => discover(id, client.ClientSecretPost(secretOf(id)))

// begin makes an authorization request as the library's manual tells.
async function begin(config, redirect_uri, scope, extra = {}) {
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const nonce = client.randomNonce()
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri, scope, state, nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    ...extra,
  })
  return { url, redirect_uri, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: scope.split(' ').includes('openid') } }
}

// reach walks the pages and fails unless the redirect URI was reached.
async function reach(agent, request, person, options = {}) {
  const end = await agent.authorize(request.url, person, { stops: [request.redirect_uri], ...options })
  assert.ok(end.reached, `stopped at ${end.url} with ${end.status}: ${summary(end.html ?? '')}`)
  return end.reached
}

// signIn is the whole of code + PKCE.
async function signIn(config, redirect_uri, scope, { person = nora, agent = new Agent(), extra, checks } = {}) {
  const request = await begin(config, redirect_uri, scope, extra)
  const reached = await reach(agent, request, person)
  const tokens = await client.authorizationCodeGrant(config, reached, { ...request.checks, ...checks })
  return { tokens, agent, request, reached }
}

let config // interop-web
let session // a sign-in that later checks go on with

await check('discovery', async () => {
  config = await basic('interop-web')
  const meta = config.serverMetadata()
  assert.equal(meta.issuer, issuer)
  assert.ok(meta.supportsPKCE(), 'PKCE is not advertised')
  assert.deepEqual(meta.code_challenge_methods_supported, ['S256'])
  assert.equal(meta.authorization_response_iss_parameter_supported, true)
  assert.deepEqual(meta.response_types_supported, ['code'])
  for (const grant of ['authorization_code', 'refresh_token', 'client_credentials']) assert.ok(meta.grant_types_supported.includes(grant), grant)
  for (const mode of ['query', 'form_post']) assert.ok(meta.response_modes_supported.includes(mode), mode)
  for (const name of ['authorization', 'token', 'userinfo', 'introspection', 'revocation', 'end_session']) {
    assert.ok(meta[`${name}_endpoint`]?.startsWith(issuer), `${name}_endpoint`)
  }
})

await check('discovery-oauth', async () => {
  const meta = (await client.discovery(new URL(issuer), 'interop-web', undefined, undefined, { algorithm: 'oauth2', ...open })).serverMetadata()
  assert.equal(meta.issuer, issuer)
  assert.equal(meta.token_endpoint, config.serverMetadata().token_endpoint)
})

await check('demo-web-code-pkce', async () => {
  const authentication = web.token_endpoint_auth_method === 'client_secret_post' ? post : basic
  const { tokens } = await signIn(await authentication(web.client_id), web.redirect_uris[0], 'openid profile email', { person: users[0] })
  assert.equal(tokens.claims().sub, users[0].sub)
})

await check('demo-spa-code-pkce', async () => {
  const { tokens } = await signIn(await discover(spa.client_id, client.None()), spa.redirect_uris[0], 'openid profile', { person: users[1] })
  assert.equal(tokens.claims().sub, users[1].sub)
})

await check('code-pkce-basic', async () => {
  session = await signIn(config, redirectURI, 'openid profile email offline_access photos:read')
  assert.equal(session.tokens.token_type, 'bearer')
  assert.ok(session.tokens.refresh_token, 'no refresh token')
  assert.ok(session.tokens.expiresIn() > 0)
  assert.deepEqual(session.tokens.scope.split(' ').sort(), ['email', 'offline_access', 'openid', 'photos:read', 'profile'])
  assert.deepEqual([...session.reached.searchParams.keys()].sort(), ['code', 'iss', 'state'])
  assert.equal(session.reached.searchParams.get('iss'), issuer)
})

await check('id-token-claims', async () => {
  const claims = session.tokens.claims()
  assert.equal(claims.sub, nora.sub)
  assert.equal(claims.aud, 'interop-web')
  assert.equal(claims.nonce, session.request.checks.expectedNonce)
  assert.ok(claims.at_hash && claims.sid, 'at_hash and sid')
  const header = JSON.parse(Buffer.from(session.tokens.id_token.split('.')[0], 'base64url'))
  assert.equal(header.alg, 'RS256')
  for (const name of ['name', 'email']) assert.ok(!(name in claims), `${name} belongs to userinfo`)
})

await check('userinfo', async () => {
  const answer = await client.fetchUserInfo(config, session.tokens.access_token, nora.sub)
  assert.equal(answer.name, nora.name)
  assert.equal(answer.email, nora.email)
  assert.equal(answer.email_verified, true)
})

await check('userinfo-other-subject-refused', async () => {
  await expectRefusal(() => client.fetchUserInfo(config, session.tokens.access_token, otto.sub), {})
})

await check('api-call', async () => {
  const answer = await client.fetchProtectedResource(config, session.tokens.access_token, new URL(`${api}/photos`), 'GET')
  assert.equal(answer.status, 200)
})

await check('api-insufficient-scope', async () => {
  const refusal = await expectRefusal(() => client.fetchProtectedResource(config, session.tokens.access_token, new URL(`${api}/photos`), 'POST'), { status: 403 })
  assert.equal(refusal.cause[0].parameters.error, 'insufficient_scope')
})

await check('introspection-jwt', async () => {
  const answer = await client.tokenIntrospection(config, session.tokens.access_token)
  assert.equal(answer.active, true)
  assert.equal(answer.sub, nora.sub)
  assert.equal(answer.client_id, 'interop-web')
})

await check('introspection-refresh-token', async () => {
  const answer = await client.tokenIntrospection(config, session.tokens.refresh_token, { token_type_hint: 'refresh_token' })
  assert.equal(answer.active, true)
})

await check('introspection-by-resource-server', async () => {
  const answer = await client.tokenIntrospection(await basic('photoapi'), session.tokens.access_token)
  assert.deepEqual([answer.active, answer.client_id, answer.sub], [true, 'interop-web', nora.sub])
  assert.ok(answer.scope.split(' ').includes('photos:read'))
})

await check('introspection-foreign-token', async () => {
  const answer = await client.tokenIntrospection(await post('interop-post'), session.tokens.access_token)
  assert.deepEqual({ ...answer }, { active: false })
})

await check('refresh', async () => {
  const before = session.tokens
  const after = await client.refreshTokenGrant(config, before.refresh_token)
  assert.notEqual(after.refresh_token, before.refresh_token)
  assert.notEqual(after.access_token, before.access_token)
  assert.equal(after.claims().sub, nora.sub)
  assert.equal(after.claims().auth_time, before.claims().auth_time)
  session = { ...session, tokens: after, first: before }
})

await check('refresh-parallel-same-successor', async () => {
  const token = session.tokens.refresh_token
  const answers = await Promise.all([1, 2, 3, 4].map(() => client.refreshTokenGrant(config, token)))
  assert.equal(new Set(answers.map((a) => a.refresh_token)).size, 1)
  session = { ...session, tokens: answers[0] }
})

await check('refresh-narrower-scope', async () => {
  const narrow = await client.refreshTokenGrant(config, session.tokens.refresh_token, { scope: 'openid profile' })
  assert.deepEqual(narrow.scope.split(' ').sort(), ['openid', 'profile'])
  const whole = await client.refreshTokenGrant(config, narrow.refresh_token)
  assert.ok(whole.scope.includes('photos:read'), `got ${whole.scope}`)
  session = { ...session, tokens: whole }
})

await check('refresh-repeats-offline-access', async () => {
  // mod_auth_openidc repeats the scopes it asked for, granted or not.
  const { tokens } = await signIn(config, redirectURI, 'openid profile')
  const after = await client.refreshTokenGrant(config, tokens.refresh_token, { scope: 'openid profile offline_access' })
  assert.deepEqual(after.scope.split(' ').sort(), ['openid', 'profile'])
})

await check('refresh-replay-ends-grant', async () => {
  const { tokens } = await signIn(config, redirectURI, 'openid offline_access')
  const second = await client.refreshTokenGrant(config, tokens.refresh_token)
  const third = await client.refreshTokenGrant(config, second.refresh_token)
  await expectRefusal(() => client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' })
  await expectRefusal(() => client.refreshTokenGrant(config, third.refresh_token), { error: 'invalid_grant' })
  assert.equal((await client.tokenIntrospection(config, third.access_token)).active, false)
})

await check('revocation-access-token', async () => {
  await client.tokenRevocation(config, session.tokens.access_token, { token_type_hint: 'access_token' })
  assert.equal((await client.tokenIntrospection(config, session.tokens.access_token)).active, false)
  await expectRefusal(() => client.fetchUserInfo(config, session.tokens.access_token, nora.sub), { status: 401 })
  session = { ...session, tokens: await client.refreshTokenGrant(config, session.tokens.refresh_token) }
  assert.equal((await client.tokenIntrospection(config, session.tokens.access_token)).active, true)
})

await check('revocation-refresh-token', async () => {
  await client.tokenRevocation(config, session.tokens.refresh_token)
  assert.equal((await client.tokenIntrospection(config, session.tokens.access_token)).active, false)
  await expectRefusal(() => client.refreshTokenGrant(config, session.tokens.refresh_token), { error: 'invalid_grant', status: 400 })
})

await check('revocation-unknown-token', async () => {
  await client.tokenRevocation(config, 'no-such-token')
})

await check('code-reuse-ends-grant', async () => {
  const { tokens, request, reached } = await signIn(config, redirectURI, 'openid')
  await expectRefusal(() => client.authorizationCodeGrant(config, reached, request.checks), { error: 'invalid_grant' })
  assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, false)
})

await check('wrong-verifier-refused', async () => {
  const request = await begin(config, redirectURI, 'openid')
  const reached = await reach(new Agent(), request, nora)
  const wrong = { ...request.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() }
  await expectRefusal(() => client.authorizationCodeGrant(config, reached, wrong), { error: 'invalid_grant' })
  const tokens = await client.authorizationCodeGrant(config, reached, request.checks)
  assert.equal(tokens.claims().sub, nora.sub)
})

await check('wrong-secret-refused', async () => {
  const stranger = await discover('interop-web', client.ClientSecretBasic('wrong-0123456789abcdefghijklmnopqrstuv'))
  await expectRefusal(() => client.tokenIntrospection(stranger, 'any'), { status: 401 })
})

await check('wrong-method-refused', async () => {
  const other = await post('interop-web') // registered for client_secret_basic
  await expectRefusal(() => client.tokenRevocation(other, 'any'), { status: 401 })
})

await check('prompt-none-and-remembered-consent', async () => {
  const { agent, tokens } = await signIn(config, redirectURI, 'openid profile')
  const request = await begin(config, redirectURI, 'openid profile', { prompt: 'none' })
  const silent = await client.authorizationCodeGrant(config, await reach(agent, request, nora), request.checks)
  assert.equal(silent.claims().sub, tokens.claims().sub)
  assert.equal(silent.claims().sid, tokens.claims().sid)
})

await check('prompt-none-without-session', async () => {
  const request = await begin(config, redirectURI, 'openid', { prompt: 'none' })
  const reached = await reach(new Agent(), request, nora)
  await expectRefusal(() => client.authorizationCodeGrant(config, reached, request.checks), { error: 'login_required' })
})

await check('prompt-login-and-max-age', async () => {
  const { agent, tokens } = await signIn(config, redirectURI, 'openid', { extra: { max_age: '10000' }, checks: { maxAge: 10000 } })
  const first = tokens.claims().auth_time
  await new Promise((resolve) => setTimeout(resolve, 1100)) // auth_time counts whole seconds
  const request = await begin(config, redirectURI, 'openid', { prompt: 'login', max_age: '10000' })
  const end = await agent.authorize(request.url, nora, { stops: [redirectURI] })
  assert.ok(end.seen.includes('login'), 'no password was asked for')
  const again = await client.authorizationCodeGrant(config, end.reached, { ...request.checks, maxAge: 10000 })
  assert.ok(again.claims().auth_time > first, 'auth_time did not move')
})

await check('consent-denied', async () => {
  const request = await begin(config, redirectURI, 'openid photos:write')
  const end = await new Agent().authorize(request.url, nora, { stops: [redirectURI], decision: 'deny' })
  assert.ok(end.reached, `stopped at ${end.url}`)
  assert.equal(end.reached.searchParams.get('iss'), issuer)
  await expectRefusal(() => client.authorizationCodeGrant(config, end.reached, request.checks), { error: 'access_denied' })
})

await check('post-authorization-request', async () => {
  const request = await begin(config, redirectURI, 'openid')
  const address = new URL(request.url)
  const body = new URLSearchParams(address.searchParams)
  address.search = ''
  const reached = await reach(new Agent(), { ...request, url: address }, nora, { init: { method: 'POST', body } })
  const tokens = await client.authorizationCodeGrant(config, reached, request.checks)
  assert.equal(tokens.claims().sub, nora.sub)
})

await check('unregistered-redirect-uri-page', async () => {
  const request = await begin(config, `${callback}/elsewhere`, 'openid')
  const page = await new Agent().open(request.url, [callback])
  assert.ok(!page.reached, 'redirected to an unregistered address')
  assert.ok(page.status === 400 && has(page.html, 'error-page'), `HTTP ${page.status}`)
})

await check('form-post', async () => {
  const request = await begin(config, redirectURI, 'openid', { response_mode: 'form_post' })
  const page = await new Agent().authorize(request.url, nora, { stops: [redirectURI] })
  assert.ok(!page.reached, 'answered with a redirect')
  const form = forms(page.html).find((f) => f.action === redirectURI)
  assert.ok(form, `no form for the redirect URI: ${summary(page.html)}`)
  assert.equal(form.method.toLowerCase(), 'post')
  const body = new URLSearchParams(form.controls.filter((c) => c.name).map((c) => [c.name, c.value]))
  assert.deepEqual([...body.keys()].sort(), ['code', 'iss', 'state'])
  const tokens = await client.authorizationCodeGrant(config, new Request(redirectURI, { method: 'POST', body }), request.checks)
  assert.equal(tokens.claims().sub, nora.sub)
})

await check('form-post-error', async () => {
  const request = await begin(config, redirectURI, 'openid', { response_mode: 'form_post', prompt: 'none' })
  const page = await new Agent().open(request.url, [redirectURI])
  const form = forms(page.html ?? '').find((f) => f.action === redirectURI)
  assert.ok(form, 'no form for the redirect URI')
  const body = new URLSearchParams(form.controls.filter((c) => c.name).map((c) => [c.name, c.value]))
  await expectRefusal(() => client.authorizationCodeGrant(config, new Request(redirectURI, { method: 'POST', body }), request.checks), { error: 'login_required' })
})

await check('code-pkce-post', async () => {
  const other = await post('interop-post')
  const { tokens } = await signIn(other, redirectURI, 'openid email')
  assert.ok((await client.refreshTokenGrant(other, tokens.refresh_token)).access_token, 'no refresh without offline_access')
})

await check('code-without-pkce', async () => {
  const other = await basic('interop-oidc')
  const nonce = client.randomNonce()
  const state = client.randomState()
  const url = client.buildAuthorizationUrl(other, { redirect_uri: redirectURI, scope: 'openid', nonce, state })
  const reached = await reach(new Agent(), { url, redirect_uri: redirectURI }, nora)
  const tokens = await client.authorizationCodeGrant(other, reached, { expectedNonce: nonce, expectedState: state, idTokenExpected: true })
  assert.equal(tokens.claims().sub, nora.sub)
})

await check('pkce-missing-refused', async () => {
  const state = client.randomState()
  const url = client.buildAuthorizationUrl(config, { redirect_uri: redirectURI, scope: 'openid', state })
  const reached = await reach(new Agent(), { url, redirect_uri: redirectURI }, nora)
  await expectRefusal(() => client.authorizationCodeGrant(config, reached, { expectedState: state }), { error: 'invalid_request' })
})

await check('implicit-refused', async () => {
  const state = client.randomState()
  const url = client.buildAuthorizationUrl(config, { redirect_uri: redirectURI, scope: 'openid', state, response_type: 'id_token', nonce: client.randomNonce() })
  const reached = await reach(new Agent(), { url, redirect_uri: redirectURI }, nora)
  assert.equal(reached.searchParams.get('error') ?? new URLSearchParams(reached.hash.slice(1)).get('error'), 'unsupported_response_type')
})

await check('code-pkce-public', async () => {
  const native = await discover('interop-native', client.None())
  const { tokens } = await signIn(native, 'http://127.0.0.1:49152/callback', 'openid profile offline_access')
  const next = await client.refreshTokenGrant(native, tokens.refresh_token)
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  await client.tokenRevocation(native, next.refresh_token)
  await expectRefusal(() => client.refreshTokenGrant(native, next.refresh_token), { error: 'invalid_grant' })
})

await check('opaque-token-for-resource', async () => {
  const other = await post('interop-post')
  const { tokens } = await signIn(other, redirectURI, 'openid notes:read', { extra: { resource: notes } })
  assert.ok(tokens.access_token.startsWith('gha_'), 'the token is not opaque')
  const seen = await client.tokenIntrospection(await basic('notes-api'), tokens.access_token)
  assert.equal(seen.active, true)
  assert.equal(seen.sub, nora.sub)
  assert.equal(seen.scope.split(' ').includes('notes:read'), true)
  assert.ok([seen.aud].flat().includes(notes), `aud ${seen.aud}`)
})

await check('client-credentials', async () => {
  const robot = await (machine.token_endpoint_auth_method === 'client_secret_post' ? post : basic)(machine.client_id)
  const tokens = await client.clientCredentialsGrant(robot, { scope: 'photos:read' })
  assert.equal(tokens.scope, 'photos:read')
  assert.ok(!tokens.refresh_token && !tokens.id_token, 'a refresh or ID token for a machine')
  const answer = await client.fetchProtectedResource(robot, tokens.access_token, new URL(`${api}/photos`), 'GET')
  assert.equal(answer.status, 200)
})

await check('basic-and-client-id-in-body', async () => {
  // The MCP SDK for Python says who it is twice.
  const tokens = await client.clientCredentialsGrant(await basic(machine.client_id), { scope: 'photos:read', client_id: machine.client_id })
  assert.ok(tokens.access_token)
})

await check('client-credentials-unregistered-refused', async () => {
  await expectRefusal(() => client.clientCredentialsGrant(config, { scope: 'photos:read' }), { error: 'unauthorized_client' })
})

await check('client-credentials-scope-refused', async () => {
  await expectRefusal(async () => client.clientCredentialsGrant(await post('interop-post'), { scope: 'photos:write' }), { error: 'invalid_scope' })
})

await check('logout', async () => {
  const { agent, tokens } = await signIn(config, redirectURI, 'openid profile')
  const state = client.randomState()
  const url = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/logged-out`, state })
  const end = await agent.open(url, [callback])
  assert.equal(end.reached?.href, `${callback}/logged-out?state=${state}`)
  const request = await begin(config, redirectURI, 'openid', { prompt: 'none' })
  await expectRefusal(async () => client.authorizationCodeGrant(config, await reach(agent, request, nora), request.checks), { error: 'login_required' })
  await expectRefusal(() => client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' })
})

await check('logout-keeps-offline-access', async () => {
  const { agent, tokens } = await signIn(config, redirectURI, 'openid offline_access')
  await agent.open(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/logged-out` }), [callback])
  assert.ok((await client.refreshTokenGrant(config, tokens.refresh_token)).access_token)
})

await check('logout-unregistered-uri', async () => {
  const { agent, tokens } = await signIn(config, redirectURI, 'openid')
  const end = await agent.open(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/elsewhere` }), [callback])
  assert.ok(!end.reached, 'redirected to an unregistered address')
})

await check('logout-without-hint', async () => {
  const { agent } = await signIn(config, redirectURI, 'openid')
  const url = client.buildEndSessionUrl(config, { post_logout_redirect_uri: `${callback}/logged-out` })
  const page = await agent.open(url, [callback])
  assert.ok(!page.reached && has(page.html, 'logout-confirm-page'), 'no confirmation page')
  const done = await agent.submit(page, 'logout-yes', {}, [callback])
  assert.ok(!done.reached && has(done.html, 'logout-done'), 'no page after the logout')
  const request = await begin(config, redirectURI, 'openid', { prompt: 'none' })
  await expectRefusal(async () => client.authorizationCodeGrant(config, await reach(agent, request, nora), request.checks), { error: 'login_required' })
})

finish()
