// A foreign MQTT client (MQTT.js on Node's own TLS) that speaks ACE (RFC 9431) to our broker, in MQTT 5 or 3.1.1.
// usage: node witness_mqtt.mjs JSON     The JSON says where, who and what; one JSON line on standard output answers.
//   { port, ca, clientId, token, key: JWK, proof: "exporter" | "challenge" | "draft06", tls: "TLSv1.3", steps: [...] }
// With version: 4 it is MQTT 3.1.1: token and exporter proof are user name and password (RFC 9431 6.1), the token in
// base64url, or as it is with userName: "draft06"; resume: true is Clean Session 0; will: {topic, payload}.
// With ws: "/path" it is MQTT over WebSocket on TLS, of the package ws; with url: "ws://..." or "mqtts://..."
// MQTT.js does it all, without ACE; topicAliasMaximum: N then lets the broker use aliases.
// Steps: {publish, payload, qos, retain}  {subscribe, qos}  {collect: count}  {reauthenticate: token, key}
import crypto from 'node:crypto';
import fs from 'node:fs';
import tls from 'node:tls';
import mqtt from 'mqtt';
import WebSocket, { createWebSocketStream } from 'ws';

const LABEL = 'EXPORTER-ACE-MQTT-Sign-Challenge';
const WAIT_MS = 60000;
const job = JSON.parse(process.argv[2]);
const result = { steps: [], messages: [] };

function finish(code) {
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(code));
}

function prove(jwk, data) {
  if (jwk.kty === 'oct') {
    return crypto.createHmac('sha256', Buffer.from(jwk.k, 'base64url')).update(data).digest();
  }
  const key = crypto.createPrivateKey({ key: jwk, format: 'jwk' });
  return jwk.kty === 'EC' ? crypto.sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }) : crypto.sign(null, data, key);
}

function prefixed(bytes) {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

// The TLS socket is the one the upgrade was answered on: its exporter is the proof's, whatever runs above.
function openWebSocket() {
  return new Promise((resolve, reject) => {
    let secure;
    const socket = new WebSocket(`wss://127.0.0.1:${job.port}${job.ws}`, 'mqtt', {
      servername: 'localhost', ca: fs.readFileSync(job.ca), minVersion: job.tls, maxVersion: job.tls,
    });
    socket.once('upgrade', (response) => { secure = response.socket; });
    socket.once('open', () => {
      result.subprotocol = socket.protocol;
      resolve({ secure, stream: createWebSocketStream(socket) });
    });
    socket.once('error', reject);
  });
}

async function openStream() {
  if (job.ws !== undefined) return openWebSocket();
  const secure = await openTls();
  return { secure, stream: secure };
}

function openTls() {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: '127.0.0.1', port: job.port, servername: 'localhost', ca: fs.readFileSync(job.ca),
      ALPNProtocols: ['mqtt'], minVersion: job.tls, maxVersion: job.tls,
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

function connectData(socket) {
  if (job.token === undefined) return undefined;
  const token = prefixed(Buffer.from(job.token));
  if (job.proof !== 'exporter') return token;
  // Buffer.alloc(0): the empty context, which TLS 1.2 keeps apart from no context at all.
  const exported = socket.exportKeyingMaterial(32, LABEL, Buffer.alloc(0));
  return Buffer.concat([token, prove(job.key, exported)]);
}

function answer(challenge, key) {
  const nonce = crypto.randomBytes(8);
  const proof = prove(key, Buffer.concat([challenge, nonce]));
  return Buffer.concat([job.proof === 'draft06' ? prefixed(nonce) : nonce, proof]);
}

function userName() {
  return 'ace' + (job.userName === 'draft06' ? job.token : Buffer.from(job.token).toString('base64url'));
}

function makeClient311(socket, stream) {
  const options = {
    protocolVersion: 4, clientId: job.clientId, clean: !job.resume, reconnectPeriod: 0, connectTimeout: WAIT_MS,
  };
  if (job.token !== undefined) {
    options.username = userName();
    options.password = prove(job.key, socket.exportKeyingMaterial(32, LABEL, Buffer.alloc(0)));
  }
  if (job.will !== undefined) options.will = { ...job.will, payload: Buffer.from(job.will.payload), qos: 1 };
  return new mqtt.MqttClient(() => stream, options);
}

function makeUrlClient() {
  return mqtt.connect(job.url, {
    protocolVersion: job.version ?? 5, clientId: job.clientId, clean: true, reconnectPeriod: 0, connectTimeout: WAIT_MS,
    ca: job.ca === undefined ? undefined : fs.readFileSync(job.ca), servername: 'localhost',
    properties: job.topicAliasMaximum === undefined ? undefined : { topicAliasMaximum: job.topicAliasMaximum },
  });
}

function makeClient(socket, stream) {
  if (job.version === 4) return makeClient311(socket, stream);
  const properties = { authenticationMethod: 'ace', sessionExpiryInterval: 0 };
  const data = connectData(socket);
  if (data !== undefined) properties.authenticationData = data;
  const client = new mqtt.MqttClient(() => stream, {
    protocolVersion: 5, clientId: job.clientId, clean: true, reconnectPeriod: 0, connectTimeout: WAIT_MS, properties,
  });
  client.aceKey = job.key;
  client.handleAuth = (packet, done) => {
    if (packet.reasonCode !== 24) {
      client.emit('authenticated', packet);
      return done();
    }
    const authenticationData = answer(packet.properties.authenticationData, client.aceKey);
    return done(undefined, { cmd: 'auth', reasonCode: 24, properties: { authenticationMethod: 'ace', authenticationData } });
  };
  return client;
}

function refused(error, packet) {
  return {
    ok: false, code: error?.code ?? packet?.reasonCode, message: error?.message,
    reason: packet?.properties?.reasonString,
  };
}

function publish(client, step) {
  return new Promise((resolve) => {
    client.publish(step.publish, step.payload ?? '', { qos: step.qos ?? 0, retain: step.retain ?? false },
      (error, packet) => resolve(error ? refused(error, packet) : { ok: true }));
  });
}

function subscribe(client, step) {
  return new Promise((resolve) => {
    client.subscribe(step.subscribe, { qos: step.qos ?? 0 }, (error, granted, packet) => {
      const codes = packet?.granted ?? granted?.map((g) => g.qos);
      const reason = packet?.properties?.reasonString ?? error?.packet?.properties?.reasonString;
      resolve({ ok: !error && codes.every((c) => c < 0x80), codes, code: error?.code, reason });
    });
  });
}

function collect(count) {
  return new Promise((resolve) => {
    const look = () => result.messages.length >= count && resolve({ ok: true });
    look();
    job.look = look;
  });
}

function reauthenticate(client, step) {
  return new Promise((resolve) => {
    client.aceKey = step.key;
    client.once('authenticated', (packet) => resolve({ ok: packet.reasonCode === 0 }));
    client._sendPacket({
      cmd: 'auth', reasonCode: 25,
      properties: { authenticationMethod: 'ace', authenticationData: prefixed(Buffer.from(step.reauthenticate)) },
    });
  });
}

async function runSteps(client) {
  for (const step of job.steps ?? []) {
    const done = step.publish !== undefined ? publish(client, step)
      : step.subscribe !== undefined ? subscribe(client, step)
        : step.reauthenticate !== undefined ? reauthenticate(client, step)
          : collect(step.collect);
    const late = new Promise((resolve) => { setTimeout(() => resolve({ ok: false, message: 'timeout' }), WAIT_MS).unref(); });
    const gone = new Promise((resolve) => { client.once('gone', (why) => resolve({ ok: false, ...why })); });
    result.steps.push(await Promise.race([done, late, gone]));
  }
}

try {
  const { secure, stream } = job.url === undefined ? await openStream() : {};
  result.tls = secure?.getProtocol();
  result.alpn = secure?.alpnProtocol;
  const client = job.url === undefined ? makeClient(secure, stream) : makeUrlClient();
  client.on('packetreceive', (packet) => {
    if (packet.cmd === 'connack') {
      result.connack = {
        code: packet.reasonCode ?? packet.returnCode, reason: packet.properties?.reasonString, properties: packet.properties,
        sessionPresent: packet.sessionPresent,
      };
      if (result.connack.code !== 0) finish(0);
    } else if (packet.cmd === 'disconnect') {
      result.disconnect = { code: packet.reasonCode, reason: packet.properties?.reasonString };
      client.emit('gone', result.disconnect);
    }
  });
  client.on('message', (topic, payload) => {
    result.messages.push({ topic, payload: payload.toString() });
    job.look?.();
  });
  client.on('error', (error) => { result.error = error.message; });
  client.on('close', () => client.emit('gone', { message: 'closed' }));
  await new Promise((resolve) => { client.once('connect', resolve); client.once('gone', resolve); });
  if (client.connected) await runSteps(client);
  if (!client.connected) finish(0);
  else client.end(false, {}, () => finish(0)); // gracefully: what was published leaves first
} catch (error) {
  result.error = error.message;
  finish(1);
}
