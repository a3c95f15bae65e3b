// The peer of the measurement: oidc-provider with its in-memory adapter, on the
// port that is named, with the clients and resources that bench asks for.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import Provider from 'oidc-provider';

const [, , port, secret] = process.argv;
const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg, use: 'sig', kid: `${alg}-peer`,
});
const client = (client_id) => ({
  client_id, client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client('machine'), client('api')],
  jwks: { keys: [key('ec', { namedCurve: 'P-256' }, 'ES256'), key('rsa', { modulusLength: 2048 }, 'RS256')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'es:read op:read',
        accessTokenTTL: 43200,
        accessTokenFormat: resource.includes('opaque') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
provider.listen(Number(port), '127.0.0.1');
