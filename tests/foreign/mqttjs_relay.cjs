/* Puts our broker behind MQTT.js's own tests. Loaded in front of them (node -r): where they build a server of their own that has
 * the stock handler, every packet of their client goes to the broker on 127.0.0.1:BROKER_PORT instead, and back. Servers with
 * a handler of a test's own stay as they are. SKIP, a regular expression, names tests to leave out. */
const Module = require('module')
const net = require('net')

const test = require('node:test')
if (process.env.SKIP) {
    const it = test.it
    const skip = new RegExp(process.env.SKIP)
    test.it = Object.assign((name, ...rest) => skip.test(name) ? it.skip(name) : it(name, ...rest), it)
}

const load = Module._load
Module._load = function (request, parent, isMain) {
    const loaded = load.call(this, request, parent, isMain)
    if (!request.endsWith('server_helpers_for_client_tests') || loaded.relayed) return loaded
    const Connection = load.call(this, 'mqtt-connection', parent, false)
    const relay = (client) => {
        const socket = net.connect(Number(process.env.BROKER_PORT), '127.0.0.1')
        const fromClient = new WeakSet()
        const publish = client.publish
        let broker = null
        client.publish = function (packet, done) { // a test's own echo: the broker sends that message itself
            return fromClient.has(packet) ? undefined : publish.call(this, packet, done)
        }
        client.on('data', (packet) => {
            fromClient.add(packet)
            if (broker === null) {
                const options = { notData: true, protocolVersion: packet.protocolVersion }
                broker = new Connection(socket, options)
                broker.on('data', (answer) => client.writable && client.write(answer))
                broker.on('error', () => client.stream.destroy())
            }
            broker.write(packet)
        })
        client.on('error', () => socket.destroy())
        client.stream.on('close', () => socket.destroy())
        socket.on('error', () => client.stream.destroy())
        socket.on('close', () => client.stream.end())
    }
    const build = loaded.default
    return { __esModule: true, relayed: true, default: (protocol, handler) => build(protocol, handler || relay) }
}
