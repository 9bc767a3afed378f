// A foreign COSE implementation (npm cose-js, and cbor beneath it) that makes CWTs for us to check and reads ours.
// usage: node witness_cose.mjs JSON     One JSON line on standard output answers. Bytes travel as base64url.
//   { make: "sign1" | "mac0" | "encrypt0", alg, key, kid, claims, tag61 }  -> { token }
//   { open: token, key: { x, y } | { okp } | { k } }                       -> { claims, alg, layers }
import crypto from 'node:crypto';
import cbor from 'cbor';
import cose from 'cose-js';

const job = JSON.parse(process.argv[2]);
const bytes = (text) => Buffer.from(text, 'base64url');
const CWT_TAG = 61;

// RFC 8747 3.2, RFC 9052 7: the key as a map of integers
function coseKey(jwk) {
  if (jwk.kty === 'oct') return new Map([[1, 4], [-1, bytes(jwk.k)]]);
  if (jwk.kty === 'OKP') return new Map([[1, 1], [-1, 6], [-2, bytes(jwk.x)]]);
  return new Map([[1, 2], [-1, 1], [-2, bytes(jwk.x)], [-3, bytes(jwk.y)]]);
}

// RFC 8747 3.3: the COSE_Key in a COSE_Encrypt0 of its own
async function encryptedKey(jwk, under) {
  const headers = { p: { alg: 'A256GCM' }, u: { kid: under.kid } };
  return cbor.decodeFirst(await cose.encrypt.create(headers, cbor.encode(coseKey(jwk)), { key: bytes(under.k) }));
}

// RFC 8392 3.1, RFC 8747 3.1, RFC 9200 8.14, RFC 9431 2.3: the scope is AIF in CBOR inside a byte string
async function claimsSet(c) {
  const map = new Map([[1, c.iss], [3, c.aud], [4, c.exp], [6, c.iat], [7, Buffer.from(c.cti)]]);
  map.set(8, new Map([c.hide === undefined ? [1, coseKey(c.jwk)] : [2, await encryptedKey(c.jwk, c.hide)]]));
  map.set(9, cbor.encode(c.scope));
  map.set(38, 3);
  return cbor.encode(map);
}

async function make() {
  const headers = { p: { alg: job.alg }, u: job.kid === undefined ? {} : { kid: job.kid } };
  const payload = await claimsSet(job.claims);
  let message;
  if (job.make === 'sign1') message = await cose.sign.create(headers, payload, { key: { d: bytes(job.key.d) } });
  if (job.make === 'mac0') message = await cose.mac.create(headers, payload, { key: bytes(job.key.k) });
  if (job.make === 'encrypt0') message = await cose.encrypt.create(headers, payload, { key: bytes(job.key.k) });
  if (job.tag61) message = Buffer.concat([Buffer.from([0xd8, CWT_TAG]), message]);
  return { token: message.toString('base64url') };
}

// cose-js has no EdDSA: the structure it would sign (RFC 9052 4.4), checked by Node's own Ed25519.
function checkEdDsa(message, x) {
  const [protectedHeader, , payload, signature] = message.value;
  const structure = cbor.encode(['Signature1', protectedHeader, Buffer.alloc(0), payload]);
  const key = crypto.createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  if (!crypto.verify(null, structure, key, signature)) throw new Error('signature does not verify');
  return payload;
}

async function open() {
  const layers = [];
  let data = bytes(job.open), alg = null;
  for (;;) {
    let message = cbor.decode(data);
    if (message.tag === CWT_TAG) message = message.value;
    if (message.tag === undefined) break;
    layers.push(message.tag);
    alg = cbor.decode(message.value[0]).get(1);
    if (message.tag === cose.sign.Sign1Tag) data = checkEdDsa(message, job.key.x);
    else data = await cose.encrypt.read(cbor.encode(message), bytes(job.key.k));
  }
  const claims = cbor.decode(data), cnf = claims.get(8);
  return {
    layers, alg, labels: [...claims.keys()], iss: claims.get(1), aud: claims.get(3), exp: claims.get(4), iat: claims.get(6),
    cti: claims.get(7).toString('base64url'), scope: cbor.decode(claims.get(9)), profile: claims.get(38),
    cnf: [...cnf.get(1).entries()].map(([k, v]) => [k, Buffer.isBuffer(v) ? v.toString('base64url') : v]),
  };
}

try {
  process.stdout.write(JSON.stringify(job.make === undefined ? await open() : await make()) + '\n');
} catch (error) {
  process.stdout.write(JSON.stringify({ error: error.message }) + '\n');
}
