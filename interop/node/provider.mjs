// A provider that nobody here wrote, for our client to be tried with: npm's
// oidc-provider with its in-memory adapter and its development pages, by which
// anybody signs in with any password. GATEHOUSE_INTEROP names port and clients.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

const { port, clients, resource, accessTokenLife } = JSON.parse(process.env.GATEHOUSE_INTEROP);
const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg, use: 'sig', kid: `${alg}-key`,
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256'), key('ed25519', {}, 'EdDSA')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', 'offline_access', 'email', 'things:read'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true }) }),
  enabledJWA: { userinfoSigningAlgValues: ['RS256', 'ES256'], idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
  ttl: { AccessToken: accessTokenLife, ClientCredentials: 600, DeviceCode: 120 },
  rotateRefreshToken: true,
  // Its own guard refuses addresses of this machine, where our application is.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    deviceFlow: { enabled: true },
    registration: { enabled: true },
    registrationManagement: { enabled: true },
    jwtUserinfo: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, indicator) => ({
        scope: 'things:read', accessTokenTTL: 600, jwt: { sign: { alg: 'ES256' } },
        accessTokenFormat: new URL(indicator).hostname.startsWith('opaque') ? 'opaque' : 'jwt',
      }),
      defaultResource: (ctx, client, oneOf) => oneOf ?? [],
      useGrantedResource: () => true,
    },
  },
});
provider.listen(port, '127.0.0.1', () => console.log(`ready ${resource}`));
