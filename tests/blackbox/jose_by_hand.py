"""JWS and JWK from the standard library and the openssl command: a maker of tokens, good ones and bad ones."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import tempfile


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def dump(value):
    return json.dumps(value, separators=(',', ':')).encode()


def openssl(*words, data=None):
    return subprocess.run(['openssl', *words], input=data, capture_output=True, check=True).stdout


class Ed25519:
    """A private key kept as PEM; signs through `openssl pkeyutl`."""

    alg = 'EdDSA'

    def __init__(self, kid=None):
        self.pem = openssl('genpkey', '-algorithm', 'ed25519')
        self.public = openssl('pkey', '-pubout', '-outform', 'DER', data=self.pem)[-32:]
        self.private = openssl('pkey', '-outform', 'DER', data=self.pem)[-32:]
        self.kid = kid

    def jwk(self, private=False):
        key = {'kty': 'OKP', 'crv': 'Ed25519', 'x': b64(self.public)}
        if self.kid is not None:
            key.update(kid=self.kid, alg='EdDSA', use='sig')
        if private:
            key['d'] = b64(self.private)
        return key

    def thumbprint(self):
        return b64(hashlib.sha256(dump({'crv': 'Ed25519', 'kty': 'OKP', 'x': b64(self.public)})).digest())

    def sign(self, data):
        with tempfile.TemporaryDirectory() as scratch:
            key, message = os.path.join(scratch, 'key.pem'), os.path.join(scratch, 'message')
            with open(key, 'wb') as f:
                f.write(self.pem)
            with open(message, 'wb') as f:
                f.write(data)
            return openssl('pkeyutl', '-sign', '-rawin', '-inkey', key, '-in', message)

    prove = sign  # as a PoP key: 64 bytes over the bytes of the challenge (MT-63)


def compact(header, payload, sign):
    """header and payload: dict, or bytes taken as they are."""
    parts = [b64(p if isinstance(p, bytes) else dump(p)) for p in (header, payload)]
    signed = '.'.join(parts)
    return signed + '.' + b64(sign(signed.encode()))


def jws(key, claims, typ='JWT', **header):
    head = {'alg': key.alg, 'typ': typ}
    if key.kid is not None:
        head['kid'] = key.kid
    head.update(header)
    return compact(head, claims, key.sign)


def hs256(secret, header, claims):
    return compact(header, claims, lambda data: hmac.new(secret, data, hashlib.sha256).digest())


def scope_text(entries):
    """AIF-MQTT as a JWT carries it: base64url of the JSON (RFC 9431 2.3, D-20)."""
    return b64(dump(entries))
