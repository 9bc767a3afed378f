// A foreign JOSE implementation (npm jose) that checks our tokens and makes tokens for us to check.
// usage: node witness_jose.mjs JSON     One JSON line on standard output answers.
//   { verify: token, jwks, issuer, audience }        { make: {claims, header}, key: private JWK }
//   { thumbprint: JWK }     { decrypt: token, key: oct JWK }     { encrypt: claims, header, key: oct JWK }
//   { generate: "EdDSA" | "ES256" }  -> { private, public, thumbprint }
import * as jose from 'jose';

const job = JSON.parse(process.argv[2]);
const text = new TextEncoder();

async function run() {
  if (job.verify !== undefined) {
    const keys = jose.createLocalJWKSet(job.jwks);
    const { payload, protectedHeader } = await jose.jwtVerify(job.verify, keys, {
      issuer: job.issuer, audience: job.audience,
    });
    return { payload, header: protectedHeader };
  }
  if (job.make !== undefined) {
    const key = await jose.importJWK(job.key, job.make.header.alg);
    return { token: await new jose.SignJWT(job.make.claims).setProtectedHeader(job.make.header).sign(key) };
  }
  if (job.encrypt !== undefined) {
    const key = jose.base64url.decode(job.key.k);
    const encrypted = new jose.CompactEncrypt(text.encode(JSON.stringify(job.encrypt))).setProtectedHeader(job.header);
    return { token: await encrypted.encrypt(key) };
  }
  if (job.decrypt !== undefined) {
    const { plaintext, protectedHeader } = await jose.compactDecrypt(job.decrypt, jose.base64url.decode(job.key.k));
    return { plaintext: new TextDecoder().decode(plaintext), header: protectedHeader };
  }
  if (job.generate !== undefined) {
    const pair = await jose.generateKeyPair(job.generate, { crv: 'Ed25519', extractable: true });
    const publicKey = await jose.exportJWK(pair.publicKey);
    return {
      private: await jose.exportJWK(pair.privateKey), public: publicKey,
      thumbprint: await jose.calculateJwkThumbprint(publicKey),
    };
  }
  return { thumbprint: await jose.calculateJwkThumbprint(job.thumbprint) };
}

try {
  process.stdout.write(JSON.stringify(await run()) + '\n');
} catch (error) {
  process.stdout.write(JSON.stringify({ error: error.message, code: error.code }) + '\n');
}
