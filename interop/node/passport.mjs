// An express application with npm's passport-openidconnect, which sends no code_challenge:
// a client of profile oidc. What a visitor sees of it is checked from outside.

import assert from 'node:assert/strict'
import express from 'express'
import session from 'express-session'
import passport from 'passport'
import OpenIDConnectStrategy from 'passport-openidconnect'
import { Agent, summary } from './lib/agent.mjs'
import { check, finish } from './lib/check.mjs'
import { express as origin, issuer, pascal, secretOf } from './lib/stage.mjs'

const meta = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()

// strategy is set up as the package's manual tells; nonce and maxAge are options of it.
function strategy(name, clientSecret) {
  return [name, new OpenIDConnectStrategy({
    issuer, clientSecret, clientID: 'interop-passport', callbackURL: `/signed-in/${name}`, scope: ['profile', 'email'],
    authorizationURL: meta.authorization_endpoint, tokenURL: meta.token_endpoint, userInfoURL: meta.userinfo_endpoint,
    nonce: true, maxAge: 600, skipUserProfile: false, sessionKey: name,
  }, (iss, profile, context, idToken, accessToken, refreshToken, done) => done(null, { iss, profile, context, refreshToken }))]
}

passport.serializeUser((user, done) => done(null, user))
passport.deserializeUser((user, done) => done(null, user))
passport.use(...strategy('right', secretOf('interop-passport')))
passport.use(...strategy('wrong', 'wrong-0123456789abcdefghijklmnopqrstuv'))

const application = express()
application.use(session({ secret: 'the cookies of one test', resave: false, saveUninitialized: false }))
application.use(passport.session())
application.get('/', (request, response) => response.json(request.user ?? null))
for (const name of ['right', 'wrong']) {
  application.get(`/sign-in/${name}`, passport.authenticate(name))
  application.get(`/signed-in/${name}`, passport.authenticate(name, { successRedirect: '/', failWithError: true }))
}
application.use((error, request, response, next) => { // express knows it by its four parameters
  response.status(error.status ?? 500).json({ name: error.name, code: error.code, message: error.message })
})
const listener = await new Promise((resolve, reject) => {
  const server = application.listen(Number(new URL(origin).port), '127.0.0.1', (error) => (error ? reject(error) : resolve(server)))
})

const signedIn = new Agent()

// visit signs in through the forms and returns what the application shows in the end.
async function visit(agent, name, options) {
  const end = await agent.authorize(`${origin}/sign-in/${name}`, pascal, { stops: [], ...options })
  assert.equal(end.url.origin, origin, `stopped at ${end.url} with ${end.status}: ${summary(end.html)}`)
  return { ...end, shown: JSON.parse(end.html) }
}

await check('request-without-pkce', async () => {
  const answer = await new Agent().fetch(`${origin}/sign-in/right`)
  const { searchParams } = new URL(answer.headers.get('location'))
  assert.deepEqual([searchParams.get('response_type'), searchParams.has('code_challenge')], ['code', false])
})

await check('consent-denied', async () => {
  const agent = new Agent()
  const { status, shown } = await visit(agent, 'right', { decision: 'deny' })
  assert.deepEqual([status, shown.name], [401, 'AuthenticationError'])
  assert.equal(JSON.parse((await agent.open(origin)).html), null)
})

await check('sign-in', async () => {
  const { shown, seen } = await visit(signedIn, 'right')
  assert.ok(seen.includes('login'), 'no password was asked for')
  assert.equal(shown.iss, issuer)
  assert.equal(shown.profile.id, pascal.sub)
  assert.equal(shown.profile.displayName, pascal.name)
  assert.deepEqual(shown.profile.emails, [{ value: pascal.email }])
  assert.ok(shown.context.timestamp, 'no auth_time')
})

await check('session-of-the-application', async () => {
  assert.equal(JSON.parse((await signedIn.open(origin)).html).profile.id, pascal.sub)
  assert.equal(JSON.parse((await new Agent().open(origin)).html), null)
})

await check('sign-in-again-without-pages', async () => {
  const { shown, seen } = await visit(signedIn, 'right')
  assert.deepEqual([seen, shown.profile.id], [[], pascal.sub])
})

await check('wrong-secret-refused', async () => {
  const { shown } = await visit(new Agent(), 'wrong')
  assert.deepEqual([shown.name, shown.code], ['TokenError', 'invalid_client'])
})

await check('answer-of-another-browser-refused', async () => {
  const callback = `${origin}/signed-in/right`
  const agent = new Agent()
  const { reached } = await agent.authorize(`${origin}/sign-in/right`, pascal, { stops: [callback] })
  const stranger = await new Agent().open(reached)
  assert.equal(stranger.status, 403)
  assert.equal(JSON.parse((await agent.open(reached)).html).profile.id, pascal.sub)
})

listener.closeAllConnections()
listener.close()
finish()
