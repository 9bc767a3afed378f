"""client_test.py SYMBOLON: our client against a broker that misbehaves. It must end in time, with the right exit status and
a reason in words, and never call a message published that nobody took."""
import os
import subprocess
import sys
import tempfile
import unittest

from rude_broker import RudeBroker, connack, long_connack, packet, text, user_property

SYMBOLON = sys.argv.pop(1)
DONE, FAILED, USAGE, UNREACHABLE, NOT_AUTHORIZED, REFUSED, UNTRUSTED, NO_TOKEN, PROTOCOL, FILE, TIMEOUT = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 27)
HOME = tempfile.mkdtemp()
LIMIT = 60  # seconds; for failing, never a pace


def run(broker, *words, timeout=LIMIT):
    env = dict(os.environ, HOME=HOME, XDG_CONFIG_HOME='', XDG_CACHE_HOME='', SYMBOLON_PROFILE='')
    return subprocess.run([SYMBOLON, words[0], '--no-ace', '--no-tls', '-h', '127.0.0.1', '-p', str(broker.port), *words[1:]],
                          env=env, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def accept(connection):
    connection.read_packet()
    connection.send(connack())


class Connecting(unittest.TestCase):
    def check(self, script, code, *words):
        with RudeBroker(script) as broker:
            done = run(broker, *(words or ('pub', '-t', 't', '-m', 'm')))
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn('symbolon pub: ', done.stderr)
        self.assertNotIn('\x1b', done.stderr)
        return done.stderr

    def test_closed_without_a_word(self):
        self.check(lambda c: None, UNREACHABLE)

    def test_closed_after_connect(self):
        self.check(lambda c: c.read_packet(), UNREACHABLE)

    def test_half_a_connack(self):
        def script(c):
            c.read_packet()
            c.send(connack()[:3])
        self.check(script, UNREACHABLE)

    def test_silence_is_bounded_by_the_time_allowed(self):
        def script(c):
            c.read_packet()
            c.read_to_end()
        with RudeBroker(script) as broker:
            self.assertEqual(run(broker, 'pub', '-t', 't', '-m', 'm', '-W', '1').returncode, TIMEOUT)

    def test_another_packet_than_connack(self):
        """MT-54"""
        for rude in (packet(0x30, text('t') + b'\0x'), packet(0xd0, b''), packet(0x90, b'\0\1\0\0'), packet(0x40, b'\0\1')):
            def script(c):
                c.read_packet()
                c.send(rude)
                c.read_to_end()
            self.check(script, PROTOCOL)

    def test_http_instead_of_mqtt(self):
        def script(c):
            c.read_packet()
            c.send(b'HTTP/1.1 400 Bad Request\r\n\r\n')
        self.check(script, PROTOCOL)

    def test_a_length_that_never_ends(self):
        """MQTT5 1.5.5"""
        def script(c):
            c.read_packet()
            c.send(b'\x20\xff\xff\xff\xff\xff')
            c.read_to_end()
        self.check(script, PROTOCOL)

    def test_a_length_of_256_megabytes(self):
        """MQTT5 3.1.2.11.4: found from the header, nothing is waited for"""
        def script(c):
            c.read_packet()
            c.send(b'\x20\xff\xff\xff\x7f')
            c.read_to_end()
        self.check(script, REFUSED)

    def test_properties_that_leave_their_packet(self):
        def script(c):
            c.read_packet()
            c.send(packet(0x20, b'\0\0\x7f\x11'))
            c.read_to_end()
        self.check(script, PROTOCOL)

    def test_a_session_out_of_nowhere(self):
        """MQTT5 [MQTT-3.2.2-4]"""
        def script(c):
            c.read_packet()
            c.send(connack(session=1))
            c.read_to_end()
        self.check(script, PROTOCOL)

    def test_after_disconnect_the_client_closes_and_says_no_more(self):
        """MQTT5 [MQTT-3.14.4-1], [MQTT-3.14.4-2], MQTT311 [MQTT-3.14.4-1], [MQTT-3.14.4-2]"""
        for version, answer in (('5', connack()), ('mqttv311', b'\x20\x02\0\0')):
            ends = []

            def script(c):
                c.read_packet()
                c.send(answer)
                while (first := c.read_packet()[0]) != 0xe0:
                    if first == 0xc0:
                        c.send(b'\xd0\0')
                c.send(packet(0x30, text('t') + (b'\0' if version == '5' else b'') + b'late') + b'\xd0\0')
                ends.append((c.buffer, c.sock.recv(1)))  # nothing is left, and the end comes without our closing
            with RudeBroker(script) as broker:
                self.assertEqual(run(broker, 'pub', '-V', version, '-t', 't', '-m', 'm').returncode, DONE)
                broker.connections[0].done.wait(LIMIT)
            self.assertEqual(ends, [(b'', b'')], version)

    def test_every_refusal_is_said_in_words(self):
        for code, status in ((0x87, NOT_AUTHORIZED), (0x84, REFUSED), (0x88, REFUSED), (0x8a, REFUSED), (0x9d, REFUSED)):
            def script(c):
                c.read_packet()
                c.send(connack(code))
            self.assertIn('(0x%02X)' % code, self.check(script, status))

    def test_a_reason_string_cannot_steer_the_terminal(self):
        def script(c):
            c.read_packet()
            c.send(connack(0x87, b'\x1f' + text('\x1b[31mred\nsecond line')))
        self.assertIn('?[31mred?second line', self.check(script, NOT_AUTHORIZED))


class Publishing(unittest.TestCase):
    def check(self, script, code, *words):
        with RudeBroker(script) as broker:
            done = run(broker, 'pub', '-t', 't', *(words or ('-m', 'm')))
        self.assertEqual(done.returncode, code, done.stderr)
        return broker

    def test_qos_0_then_closed(self):
        """never "published" for something nobody took"""
        def script(c):
            accept(c)
            c.read_packet()
        self.check(script, UNREACHABLE)

    def test_qos_0_refused_by_disconnect(self):
        """MT-97"""
        def script(c):
            accept(c)
            c.read_packet()
            c.send(packet(0xe0, b'\x87\0'))
        self.check(script, NOT_AUTHORIZED)

    def test_qos_0_refused_after_the_ping_was_seen(self):
        def script(c):
            accept(c)
            c.read_packet()
            assert c.read_packet()[0] == 0xc0
            c.send(packet(0xe0, b'\x87\0') + packet(0xd0, b''))
        self.check(script, NOT_AUTHORIZED)

    def test_qos_1_and_2_refused(self):
        """MT-96"""
        for qos, ack in ((1, 0x40), (2, 0x50)):
            def script(c):
                accept(c)
                body = c.read_packet()[1]
                c.send(packet(ack, body[3:5] + b'\x87\0'))
                c.read_to_end()
            self.check(script, NOT_AUTHORIZED, '-m', 'm', '-q', str(qos))

    def test_qos_2_closed_in_the_middle(self):
        def script(c):
            accept(c)
            body = c.read_packet()[1]
            c.send(packet(0x50, body[3:5]))
            c.read_packet()
        self.check(script, UNREACHABLE, '-m', 'm', '-q', '2')

    def test_acknowledgement_of_another_message(self):
        def script(c):
            accept(c)
            body = c.read_packet()[1]
            c.send(packet(0x40, (int.from_bytes(body[3:5], 'big') + 1).to_bytes(2, 'big')))
            c.read_to_end()
        with RudeBroker(script) as broker:
            self.assertEqual(run(broker, 'pub', '-t', 't', '-m', 'm', '-q', '1', '-W', '1').returncode, TIMEOUT)

    def test_one_of_many_refused(self):
        def script(c):
            accept(c)
            for n in range(3):
                body = c.read_packet()[1]
                c.send(packet(0x40, body[3:5] + (b'\x87\0' if n == 1 else b'')))
            c.read_to_end()
        with RudeBroker(script) as broker:
            env = dict(os.environ, HOME=HOME)
            done = subprocess.run([SYMBOLON, 'pub', '--no-ace', '--no-tls', '-h', '127.0.0.1', '-p', str(broker.port), '-t', 't',
                                   '-l', '-q', '1'], input='a\nb\nc\n', env=env, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, NOT_AUTHORIZED, done.stderr)
        self.assertIn('message 2 was not accepted', done.stderr)

    def test_more_than_the_broker_takes(self):
        """MQTT5 [MQTT-3.2.2-15]"""
        def script(c):
            c.read_packet()
            c.send(connack(0, b'\x27' + (20).to_bytes(4, 'big')))
            c.read_to_end()
        broker = self.check(script, REFUSED, '-m', 'x' * 100)
        self.assertNotIn(0x30, [p[0] for p in broker.connections[0].received])

    def test_a_polite_client_says_goodbye(self):
        def script(c):
            accept(c)
            body = c.read_packet()[1]
            c.send(packet(0x40, body[3:5]))
            c.read_to_end()
        broker = self.check(script, DONE, '-m', 'm', '-q', '1')
        self.assertEqual(broker.connections[0].received[-1][0], 0xe0)


class Subscribing(unittest.TestCase):
    def check(self, after_connack, code, *words, wait=1):
        def script(c):
            accept(c)
            after_connack(c)
            c.read_to_end()
        with RudeBroker(script, lambda c: None) as broker:
            done = run(broker, 'sub', '-t', 'a/#', '-t', 'b', '-W', str(wait if code == TIMEOUT else LIMIT), *words)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_one_filter_refused(self):
        """MT-99"""
        def script(c):
            body = c.read_packet()[1]
            c.send(packet(0x90, body[:2] + b'\0\x87\x00') + packet(0x30, text('b') + b'\0hello'))
        done = self.check(script, NOT_AUTHORIZED, '-C', '1')
        self.assertEqual(done.stdout, 'hello\n')
        self.assertIn('a/#: Not authorized', done.stderr)

    def test_too_few_codes(self):
        """MQTT5 3.9.3"""
        def script(c):
            body = c.read_packet()[1]
            c.send(packet(0x90, body[:2] + b'\0\x00'))
        self.assertIn('reason code for each filter', self.check(script, TIMEOUT, wait=5).stderr)

    def test_wrong_messages_are_not_printed(self):
        for rude in (packet(0x30, text('a/+') + b'\0x'), packet(0x36, text('a') + b'\0\1\0x'),
                     packet(0x30, text(b'\xff\xfe') + b'\0x'), packet(0x30, text('') + b'\0x'),
                     packet(0x30, text('a') + b'\x03\x23\0\1x'), packet(0x32, text('a') + b'\0\0\0x')):
            def script(c):
                body = c.read_packet()[1]
                c.send(packet(0x90, body[:2] + b'\0\0\0') + rude)
            self.assertEqual(self.check(script, TIMEOUT).stdout, '')

    def test_qos_2_twice_is_printed_once(self):
        def script(c):
            body = c.read_packet()[1]
            message = text('b') + b'\0\7\0once'
            c.send(packet(0x90, body[:2] + b'\0\2\2') + packet(0x34, message) + packet(0x3c, message) +
                   packet(0x62, b'\0\7') + packet(0x30, text('b') + b'\0end'))
        self.assertEqual(self.check(script, DONE, '-C', '2', '-q', '2').stdout, 'once\nend\n')


class Hints(unittest.TestCase):
    """A server nobody told us to trust is never asked (AF-13). These run over TLS-less hints only through the lower layer;
    the client itself refuses to send a token without TLS, whatever the broker says."""

    def test_a_token_never_goes_over_plain_tcp(self):
        with RudeBroker(lambda c: c.read_packet()) as broker:
            done = subprocess.run([SYMBOLON, 'pub', '--no-tls', '-p', str(broker.port), '-t', 't', '-m', 'm'],
                                  env=dict(os.environ, HOME=HOME), capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, USAGE)
        self.assertEqual(broker.connections, [])

    def test_hints_mean_nothing_to_a_client_without_ace(self):
        def script(c):
            c.read_packet()
            c.send(long_connack(0x87, user_property('ace_as_hint', '{"AS":"https://evil.example/token"%s}' % (' ' * 120))))
        with RudeBroker(script) as broker:
            self.assertEqual(run(broker, 'pub', '-t', 't', '-m', 'm').returncode, NOT_AUTHORIZED)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
