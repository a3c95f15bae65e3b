// The peer of the measurement: oidc-provider with everything in memory, on the port
// that is named, with the clients, resources and users that bench asks for.
// People are signed in and allow everything without being asked.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

const [, , port, clients, redirectURI] = process.argv;
const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg, use: 'sig', kid: `${alg}-peer`,
});
const es256 = 'https://es256.example';

// kept is what the peer stores, without the bound of a thousand entries that its
// own in-memory adapter has: 64 chains of refresh tokens would lose theirs.
const kept = new Map();
const byUid = new Map();
const ofGrant = new Map();

class Memory {
  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async upsert(id, payload) {
    const key = this.key(id);
    kept.set(key, payload);
    if (payload.uid) byUid.set(payload.uid, key);
    if (payload.grantId) {
      if (!ofGrant.has(payload.grantId)) ofGrant.set(payload.grantId, []);
      ofGrant.get(payload.grantId).push(key);
    }
  }

  async find(id) { return kept.get(this.key(id)); }

  async findByUid(uid) { return kept.get(byUid.get(uid)); }

  async consume(id) { kept.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }

  async destroy(id) { kept.delete(this.key(id)); }

  async revokeByGrantId(grantId) {
    for (const key of ofGrant.get(grantId) ?? []) kept.delete(key);
    ofGrant.delete(grantId);
  }
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Memory,
  clients: Object.entries(JSON.parse(clients)).map(([client_id, client_secret]) => (client_id === 'web'
    ? {
      client_id, client_secret, redirect_uris: [redirectURI], response_types: ['code'], grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: 'ES256',
    }
    : { client_id, client_secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] })),
  jwks: { keys: [key('ec', { namedCurve: 'P-256' }, 'ES256'), key('rsa', { modulusLength: 2048 }, 'RS256')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  routes: { authorization: '/authorize', userinfo: '/userinfo', introspection: '/introspect' },
  scopes: ['openid', 'offline_access', 'es:read', 'op:read'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  ttl: { AccessToken: 43200, IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true, name: 'User' }) }),
  async loadExistingGrant(ctx) {
    const known = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
    if (known) {
      const grant = await ctx.oidc.provider.Grant.find(known);
      if (grant) return grant;
    }
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid profile email offline_access es:read');
    grant.addResourceScope(es256, 'es:read');
    await grant.save();
    return grant;
  },
  interactions: { url: (ctx, interaction) => `/sign-in/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    userinfo: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client, oneOf) => (oneOf?.[0]),
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'es:read op:read',
        accessTokenTTL: 43200,
        accessTokenFormat: resource.includes('opaque') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

let people = 0;
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/sign-in/')) return next();
  people += 1;
  ctx.status = 303;
  return ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { login: { accountId: `user${people % 8}` } }, { mergeWithLastSubmission: false }));
});
provider.listen(Number(port), '127.0.0.1');
