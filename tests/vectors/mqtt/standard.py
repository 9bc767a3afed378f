"""The packets of MQTT 5.0 and 3.1.1 as their standards lay them down: tables, and a reader that walks a packet with them.

This is what the expectations of the vectors come from, so it leans on no other code: not on the project's C, not on any
library. `read(data, version, sender)` gives a Packet, raises Incomplete, or raises Bad with what is wrong, the reason codes
that the standard allows for it, and the statement. Where the standard names the code ("is a Malformed Packet", "it is a
Protocol Error") there is one. Where it only says MUST, and leaves the receiver the choice, all that fit are listed, the
closest first. Of MQTT 3.1.1, which knows codes in CONNACK alone, the list is empty: the connection is closed.
"""

MALFORMED, PROTOCOL = (0x81,), (0x82,)
EITHER = (0x81, 0x82)  # the standard says MUST, and no more
TOPIC, FILTER = (0x81, 0x82, 0x90), (0x81, 0x82, 0x8F)

# MQTT5 2.1.2 Table 2-1, 2.1.3 Table 2-2 (MQTT311 2.2.1, 2.2.2): value, flags, who may send it
PACKETS = {
    'CONNECT':     (1,  0x0, 'client'), 'CONNACK':    (2,  0x0, 'server'), 'PUBLISH':     (3,  None, 'both'),
    'PUBACK':      (4,  0x0, 'both'),   'PUBREC':     (5,  0x0, 'both'),   'PUBREL':      (6,  0x2, 'both'),
    'PUBCOMP':     (7,  0x0, 'both'),   'SUBSCRIBE':  (8,  0x2, 'client'), 'SUBACK':      (9,  0x0, 'server'),
    'UNSUBSCRIBE': (10, 0x2, 'client'), 'UNSUBACK':   (11, 0x0, 'server'), 'PINGREQ':     (12, 0x0, 'client'),
    'PINGRESP':    (13, 0x0, 'server'), 'DISCONNECT': (14, 0x0, 'both'),   'AUTH':        (15, 0x0, 'both'),
}
TYPES = {value: name for name, (value, _, _) in PACKETS.items()}
FLAG_CLAUSES = {'PUBREL': 'MQTT5 [MQTT-3.6.1-1]', 'SUBSCRIBE': 'MQTT5 [MQTT-3.8.1-1]', 'UNSUBSCRIBE': 'MQTT5 [MQTT-3.10.1-1]',
                'DISCONNECT': 'MQTT5 [MQTT-3.14.1-1]', 'AUTH': 'MQTT5 [MQTT-3.15.1-1]'}
FLAG_CLAUSES_311 = {'PUBREL': 'MQTT311 [MQTT-3.6.1-1]', 'SUBSCRIBE': 'MQTT311 [MQTT-3.8.1-1]',
                    'UNSUBSCRIBE': 'MQTT311 [MQTT-3.10.1-1]', 'DISCONNECT': 'MQTT311 [MQTT-3.14.1-1]'}

EVERYWHERE = ('CONNECT WILL CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT '
              'AUTH')
ANSWERS = 'CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH'
# MQTT5 2.2.2.2 Table 2-4, and of each property's own section: what it may be, and which code that section names.
# id: (name, type, may appear in, may repeat in, value rule, codes of the rule, section)
PROPERTIES = {
    0x01: ('payload_format',            'byte',   'PUBLISH WILL',               '',         '0 or 1', EITHER,   '3.3.2.3.2'),
    0x02: ('message_expiry',            'u32',    'PUBLISH WILL',               '',         '',       None,     '3.3.2.3.3'),
    0x03: ('content_type',              'text',   'PUBLISH WILL',               '',         '',       None,     '3.3.2.3.9'),
    0x08: ('response_topic',            'text',   'PUBLISH WILL',               '',         'topic',  TOPIC,    '3.3.2.3.5'),
    0x09: ('correlation_data',          'binary', 'PUBLISH WILL',               '',         '',       None,     '3.3.2.3.6'),
    0x0B: ('subscription_id',           'varint', 'PUBLISH SUBSCRIBE',          'PUBLISH',  'not 0',  PROTOCOL, '3.8.2.1.2'),
    0x11: ('session_expiry',            'u32',    'CONNECT CONNACK DISCONNECT', '',         '',       None,     '3.1.2.11.2'),
    0x12: ('assigned_client_id',        'text',   'CONNACK',                    '',         '',       None,     '3.2.2.3.7'),
    0x13: ('server_keep_alive',         'u16',    'CONNACK',                    '',         '',       None,     '3.2.2.3.14'),
    0x15: ('authentication_method',     'text',   'CONNECT CONNACK AUTH',       '',         '',       None,     '3.1.2.11.9'),
    0x16: ('authentication_data',       'binary', 'CONNECT CONNACK AUTH',       '',         '',       None,     '3.1.2.11.10'),
    0x17: ('request_problem',           'byte',   'CONNECT',                    '',         '0 or 1', PROTOCOL, '3.1.2.11.7'),
    0x18: ('will_delay',                'u32',    'WILL',                       '',         '',       None,     '3.1.3.2.2'),
    0x19: ('request_response',          'byte',   'CONNECT',                    '',         '0 or 1', PROTOCOL, '3.1.2.11.6'),
    0x1A: ('response_information',      'text',   'CONNACK',                    '',         '',       None,     '3.2.2.3.15'),
    0x1C: ('server_reference',          'text',   'CONNACK DISCONNECT',         '',         '',       None,     '3.2.2.3.16'),
    0x1F: ('reason_string',             'text',   ANSWERS,                      '',         '',       None,     '3.2.2.3.9'),
    0x21: ('receive_maximum',           'u16',    'CONNECT CONNACK',            '',         'not 0',  PROTOCOL, '3.1.2.11.3'),
    0x22: ('topic_alias_maximum',       'u16',    'CONNECT CONNACK',            '',         '',       None,     '3.1.2.11.5'),
    0x23: ('topic_alias',               'u16',    'PUBLISH',                    '',         'alias',  None,     '3.3.2.3.4'),
    0x24: ('maximum_qos',               'byte',   'CONNACK',                    '',         '0 or 1', PROTOCOL, '3.2.2.3.4'),
    0x25: ('retain_available',          'byte',   'CONNACK',                    '',         '0 or 1', PROTOCOL, '3.2.2.3.5'),
    0x26: ('user_property',             'pair',   EVERYWHERE,                   EVERYWHERE, '',       None,     '3.1.2.11.8'),
    0x27: ('maximum_packet_size',       'u32',    'CONNECT CONNACK',            '',         'not 0',  PROTOCOL, '3.1.2.11.4'),
    0x28: ('wildcard_available',        'byte',   'CONNACK',                    '',         '0 or 1', PROTOCOL, '3.2.2.3.11'),
    0x29: ('subscription_id_available', 'byte',   'CONNACK',                    '',         '0 or 1', PROTOCOL, '3.2.2.3.12'),
    0x2A: ('shared_available',          'byte',   'CONNACK',                    '',         '0 or 1', PROTOCOL, '3.2.2.3.13'),
}

# MQTT5 2.4 Table 2-6 with the tables of 3.2.2.2, 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.9.3, 3.11.3, 3.14.2.1, 3.15.2.1.
# Packets that may carry the code, sent by a client | sent by a server.
REASONS = {
    0x00: ('PUBACK PUBREC PUBREL PUBCOMP DISCONNECT', 'CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH'),
    0x01: ('', 'SUBACK'),
    0x02: ('', 'SUBACK'),
    0x04: ('DISCONNECT', ''),
    0x10: ('', 'PUBACK PUBREC'),
    0x11: ('', 'UNSUBACK'),
    0x18: ('AUTH', 'AUTH'),
    0x19: ('AUTH', ''),
    0x80: ('PUBACK PUBREC DISCONNECT', 'CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT'),
    0x81: ('DISCONNECT', 'CONNACK DISCONNECT'),
    0x82: ('DISCONNECT', 'CONNACK DISCONNECT'),
    0x83: ('PUBACK PUBREC DISCONNECT', 'CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT'),
    0x84: ('', 'CONNACK'),
    0x85: ('', 'CONNACK'),
    0x86: ('', 'CONNACK'),
    0x87: ('PUBACK PUBREC', 'CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT'),
    0x88: ('', 'CONNACK'),
    0x89: ('', 'CONNACK DISCONNECT'),
    0x8A: ('', 'CONNACK'),
    0x8B: ('', 'DISCONNECT'),
    0x8C: ('', 'CONNACK'),  # Table 2-6 adds DISCONNECT, Table 3-10 does not: see LENIENT_REASONS
    0x8D: ('', 'DISCONNECT'),
    0x8E: ('', 'DISCONNECT'),
    0x8F: ('', 'SUBACK UNSUBACK DISCONNECT'),
    0x90: ('PUBACK PUBREC DISCONNECT', 'CONNACK PUBACK PUBREC DISCONNECT'),
    0x91: ('PUBACK PUBREC', 'PUBACK PUBREC SUBACK UNSUBACK'),
    0x92: ('PUBREL PUBCOMP', 'PUBREL PUBCOMP'),
    0x93: ('DISCONNECT', 'DISCONNECT'),
    0x94: ('DISCONNECT', 'DISCONNECT'),
    0x95: ('DISCONNECT', 'CONNACK DISCONNECT'),
    0x96: ('DISCONNECT', 'DISCONNECT'),
    0x97: ('PUBACK PUBREC DISCONNECT', 'CONNACK PUBACK PUBREC SUBACK DISCONNECT'),
    0x98: ('DISCONNECT', 'DISCONNECT'),
    0x99: ('PUBACK PUBREC DISCONNECT', 'CONNACK PUBACK PUBREC DISCONNECT'),
    0x9A: ('', 'CONNACK DISCONNECT'),
    0x9B: ('', 'CONNACK DISCONNECT'),
    0x9C: ('', 'CONNACK DISCONNECT'),
    0x9D: ('', 'CONNACK DISCONNECT'),
    0x9E: ('', 'SUBACK DISCONNECT'),
    0x9F: ('', 'CONNACK DISCONNECT'),
    0xA0: ('', 'DISCONNECT'),
    0xA1: ('', 'SUBACK DISCONNECT'),
    0xA2: ('', 'SUBACK DISCONNECT'),
}
LENIENT_REASONS = {('DISCONNECT', 'server', 0x8C)}  # two tables of the standard disagree
REASON_CLAUSES = {'CONNACK': '[MQTT-3.2.2-8]', 'PUBACK': '[MQTT-3.4.2-1]', 'PUBREC': '[MQTT-3.5.2-1]',
                  'PUBREL': '[MQTT-3.6.2-1]', 'PUBCOMP': '[MQTT-3.7.2-1]', 'SUBACK': '[MQTT-3.9.3-2]',
                  'UNSUBACK': '[MQTT-3.11.3-2]', 'DISCONNECT': '[MQTT-3.14.2-1]', 'AUTH': '[MQTT-3.15.2-1]'}


class Incomplete(Exception):
    """So far so good: more bytes are needed."""


class Bad(Exception):
    """codes: what a v5 receiver may answer; lenient: the rule binds the sender, a receiver may also take the packet"""

    def __init__(self, clause, text, codes=MALFORMED, lenient=False, may_be_silent=False):
        super().__init__(text)
        self.clause, self.text, self.codes, self.lenient = clause, text, codes, lenient
        self.may_be_silent = may_be_silent


class Packet:
    def __init__(self, name, fields, length):
        self.name, self.fields, self.length = name, fields, length
        self.doubts = []  # what a receiver MAY refuse: (codes, clause)


class Body:
    def __init__(self, data, version, clause):
        self.data, self.at, self.version, self.clause, self.doubts = data, 0, version, clause, []

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        if self.left() < n:
            raise Bad(self.clause, 'the packet ends too early')
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), 'big')

    def varint(self, what):
        value = shift = 0
        start = self.at
        while True:
            if self.at - start == 4:
                raise Bad('MQTT5 1.5.5', '%s of more than four bytes' % what)
            digit = self.take(1)[0]
            value |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                break
        if self.at - start > 1 and digit == 0:
            raise Bad('MQTT5 [MQTT-1.5.5-1]', '%s not in its shortest form' % what, MALFORMED, lenient=True)
        return value

    def binary(self):
        return self.take(self.number(2))

    def text(self):
        data = self.binary()
        try:
            text = data.decode('utf-8', 'strict')  # RFC 3629: no surrogates, no overlong forms
        except UnicodeDecodeError:
            raise Bad(by(self.version, 'MQTT5 [MQTT-1.5.4-1]', 'MQTT311 [MQTT-1.5.3-1]'), 'text is not UTF-8') from None
        if '\0' in text:
            raise Bad(by(self.version, 'MQTT5 [MQTT-1.5.4-2]', 'MQTT311 [MQTT-1.5.3-2]'), 'U+0000 in text')
        if any(discouraged(ord(c)) for c in text):
            self.doubts.append((MALFORMED, by(self.version, 'MQTT5 1.5.4', 'MQTT311 1.5.3')))
        return text

    def end(self):
        if self.left():
            raise Bad(self.clause, 'bytes behind the end of the packet')


def by(version, v5, v311):
    return v5 if version == 5 else v311


def discouraged(c):
    """MQTT5 1.5.4: control characters and Unicode noncharacters SHOULD NOT be included; a receiver MAY refuse them."""
    return 0x01 <= c <= 0x1F or 0x7F <= c <= 0x9F or 0xFDD0 <= c <= 0xFDEF or c & 0xFFFE == 0xFFFE


def topic_name(text, version, codes=TOPIC, lenient=False):
    """MQTT5 4.7"""
    if text == '':
        raise Bad(by(version, 'MQTT5 [MQTT-4.7.3-1]', 'MQTT311 [MQTT-4.7.3-1]'), 'empty topic name', codes, lenient)
    if '+' in text or '#' in text:
        raise Bad(by(version, 'MQTT5 [MQTT-4.7.0-1]', 'MQTT311 [MQTT-4.7.1-1]'), 'wildcard in a topic name', codes)
    return text


def topic_filter(text, version):
    """MQTT5 4.7.1, 4.8.2"""
    if text == '':
        raise Bad(by(version, 'MQTT5 [MQTT-4.7.3-1]', 'MQTT311 [MQTT-4.7.3-1]'), 'empty topic filter', FILTER)
    levels = text.split('/')
    for i, level in enumerate(levels):
        if '#' in level and (level != '#' or i != len(levels) - 1):
            raise Bad(by(version, 'MQTT5 [MQTT-4.7.1-1]', 'MQTT311 [MQTT-4.7.1-2]'), '# not alone in the last level', FILTER)
        if '+' in level and level != '+':
            raise Bad(by(version, 'MQTT5 [MQTT-4.7.1-2]', 'MQTT311 [MQTT-4.7.1-3]'), '+ not alone in its level', FILTER)
    if version == 5 and text.startswith('$share/'):
        if len(levels) < 3 or levels[2:] == ['']:
            raise Bad('MQTT5 [MQTT-4.8.2-2]', 'a shared subscription without a filter', FILTER)
        if levels[1] == '' or levels[1] in '+#':
            raise Bad('MQTT5 [MQTT-4.8.2-%d]' % (1 if levels[1] == '' else 2), 'not a share name', FILTER)
    return text


def properties(body, place, sender):
    """MQTT5 2.2.2"""
    inner = Body(body.take(body.varint('Property Length')), 5, 'MQTT5 2.2.2.2')
    found = {}
    while inner.left():
        number = inner.varint('property identifier')
        if number not in PROPERTIES:
            raise Bad('MQTT5 2.2.2.2', 'unknown property identifier')
        name, form, places, repeats, rule, codes, section = PROPERTIES[number]
        if place not in places.split():
            raise Bad('MQTT5 2.2.2.2', '%s is not a property of this packet' % name)
        if number == 0x0B and place == 'PUBLISH' and sender == 'client':
            raise Bad('MQTT5 [MQTT-3.3.4-6]', 'Subscription Identifier from a client', (0x82, 0x81))
        if number == 0x11 and place == 'DISCONNECT' and sender == 'server':
            raise Bad('MQTT5 [MQTT-3.14.2-2]', 'Session Expiry Interval from a server', (0x82, 0x81))
        value = read_value(inner, form)
        if name in found and place not in repeats.split():
            raise Bad('MQTT5 %s' % section, '%s more than once' % name, PROTOCOL)
        check_value(rule, codes, section, name, value)
        if repeats and place in repeats.split():
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    if 'authentication_data' in found and 'authentication_method' not in found:
        raise Bad('MQTT5 3.1.2.11.10' if place == 'CONNECT' else 'MQTT5 4.12', 'Authentication Data without Authentication Method',
                  PROTOCOL)
    body.doubts += inner.doubts
    return found


def read_value(r, form):
    if form in ('byte', 'u16', 'u32'):
        return r.number({'byte': 1, 'u16': 2, 'u32': 4}[form])
    if form == 'varint':
        return r.varint('value')
    if form == 'binary':
        return r.binary()
    return r.text() if form == 'text' else [r.text(), r.text()]


def check_value(rule, codes, section, name, value):
    if rule == '0 or 1' and value > 1:
        raise Bad('MQTT5 %s' % section, '%s neither 0 nor 1' % name, codes)
    if rule == 'not 0' and value == 0:
        raise Bad('MQTT5 %s' % section, '%s 0' % name, codes)
    if rule == 'alias' and value == 0:
        raise Bad('MQTT5 [MQTT-3.3.2-8]', 'Topic Alias 0', (0x94, 0x82))
    if rule == 'topic' and ('+' in value or '#' in value):
        raise Bad('MQTT5 [MQTT-3.3.2-14]', 'wildcard in the Response Topic', codes)
    if rule == 'topic':
        topic_name(value, 5, codes, lenient=True)


def packet_id(body, clause):
    number = body.number(2)
    if number == 0:
        raise Bad(clause, 'packet identifier 0', EITHER)
    return number


def check_reason(name, sender, code):
    if name in REASONS.get(code, ('', ''))[sender == 'server'].split():
        return
    raise Bad('MQTT5 ' + REASON_CLAUSES[name], 'not a reason code of %s from a %s' % (name, sender), EITHER,
              lenient=(name, sender, code) in LENIENT_REASONS)


# ---- chapter 3 ----

def connect(body, sender, flags):
    name, level = body.binary(), body.number(1)
    body.version = level if level in (4, 5) else 5
    body.clause = by(body.version, 'MQTT5 3.1', 'MQTT311 3.1')
    if name != b'MQTT':
        raise Bad(by(level, 'MQTT5 [MQTT-3.1.2-1]', 'MQTT311 [MQTT-3.1.2-1]'), 'another protocol name', (0x84,),
                  may_be_silent=True)
    if level not in (4, 5):
        raise Bad('MQTT5 [MQTT-3.1.2-2]', 'another protocol version', (0x84,), may_be_silent=True)
    v = level
    f = body.number(1)
    will, will_qos = bool(f & 4), f >> 3 & 3
    if f & 1:
        raise Bad(by(v, 'MQTT5 [MQTT-3.1.2-3]', 'MQTT311 [MQTT-3.1.2-3]'), 'the reserved Connect Flag')
    if will_qos == 3:
        raise Bad(by(v, 'MQTT5 [MQTT-3.1.2-12]', 'MQTT311 [MQTT-3.1.2-14]'), 'Will QoS 3', MALFORMED if will else EITHER)
    if not will and will_qos:
        raise Bad(by(v, 'MQTT5 [MQTT-3.1.2-11]', 'MQTT311 [MQTT-3.1.2-13]'), 'Will QoS without Will Flag', EITHER)
    if not will and f & 0x20:
        raise Bad(by(v, 'MQTT5 [MQTT-3.1.2-13]', 'MQTT311 [MQTT-3.1.2-15]'), 'Will Retain without Will Flag', EITHER)
    if v == 4 and f & 0x40 and not f & 0x80:
        raise Bad('MQTT311 [MQTT-3.1.2-22]', 'a password without a user name')
    out = {'protocol_version': v, 'clean_start': bool(f & 2), 'keep_alive': body.number(2)}
    if v == 5:
        out['properties'] = properties(body, 'CONNECT', sender)
    out['client_id'] = body.text()
    if will:
        props = properties(body, 'WILL', sender) if v == 5 else {}
        topic = topic_name(body.text(), v)
        out['will'] = {'qos': will_qos, 'retain': bool(f & 0x20), 'properties': props, 'topic': topic, 'payload': body.binary()}
    if f & 0x80:
        out['user_name'] = body.text()
    if f & 0x40:
        out['password'] = body.binary()
    body.end()
    if v == 4 and out['client_id'] == '' and not f & 2:
        raise Bad('MQTT311 [MQTT-3.1.3-8]', 'no client identifier, and not Clean Session', (0x85,))
    return out


def connack(body, sender, flags):
    ack, code = body.number(1), body.number(1)
    v = body.version
    if ack & 0xFE:
        raise Bad(by(v, 'MQTT5 [MQTT-3.2.2-1]', 'MQTT311 3.2.2.1'), 'reserved Connect Acknowledge Flags', EITHER)
    if v == 4 and code > 5:
        raise Bad('MQTT311 3.2.2.3', 'a reserved return code', EITHER)
    out = {'session_present': bool(ack), 'reason': code}
    if v == 5:
        check_reason('CONNACK', sender, code)
        out['properties'] = properties(body, 'CONNACK', sender)
    body.end()
    if ack and code:
        raise Bad(by(v, 'MQTT5 [MQTT-3.2.2-6]', 'MQTT311 [MQTT-3.2.2-4]'), 'Session Present in a refusal', EITHER)
    return out


def publish(body, sender, flags):
    v = body.version
    out = {'dup': bool(flags & 8), 'qos': flags >> 1 & 3, 'retain': bool(flags & 1), 'topic': body.text()}
    if out['topic'] != '':
        topic_name(out['topic'], v)
    if out['qos']:
        out['packet_id'] = packet_id(body, by(v, 'MQTT5 [MQTT-2.2.1-%d]' % (3 if sender == 'client' else 4),
                                              'MQTT311 [MQTT-2.3.1-1]'))
    if v == 5:
        out['properties'] = properties(body, 'PUBLISH', sender)
    if out['topic'] == '' and v == 4:
        topic_name('', v)
    if out['topic'] == '' and 'topic_alias' not in out['properties']:
        raise Bad('MQTT5 3.3.2.1', 'neither topic nor Topic Alias', PROTOCOL)
    out['payload'] = body.take(body.left())
    return out


def acknowledgement(name):
    def read_it(body, sender, flags):
        v = body.version
        out = {'packet_id': packet_id(body, by(v, 'MQTT5 2.2.1', 'MQTT311 2.3.1'))}
        if v == 5:
            out.update({'reason': 0, 'properties': {}})
            if body.left():
                out['reason'] = body.number(1)
                check_reason(name, sender, out['reason'])
            if body.left():
                out['properties'] = properties(body, name, sender)
        body.end()
        return out
    return read_it


def subscribe(body, sender, flags):
    v = body.version
    out = {'packet_id': packet_id(body, by(v, 'MQTT5 [MQTT-2.2.1-3]', 'MQTT311 [MQTT-2.3.1-1]'))}
    if v == 5:
        out['properties'] = properties(body, 'SUBSCRIBE', sender)
    if not body.left():
        raise Bad(by(v, 'MQTT5 [MQTT-3.8.3-2]', 'MQTT311 [MQTT-3.8.3-3]'), 'no topic filter', PROTOCOL)
    out['filters'] = []
    while body.left():
        wanted = topic_filter(body.text(), v)
        options = body.number(1)
        if v == 4 and options > 2:
            raise Bad('MQTT311 [MQTT-3.8.3-4]', 'not a requested QoS')
        if options & 0xC0:
            raise Bad('MQTT5 [MQTT-3.8.3-5]', 'reserved bits of the Subscription Options')
        if options & 3 == 3:
            raise Bad('MQTT5 3.8.3.1', 'maximum QoS 3', PROTOCOL)
        if options & 0x30 == 0x30:
            raise Bad('MQTT5 3.8.3.1', 'Retain Handling 3', PROTOCOL)
        if options & 4 and wanted.startswith('$share/'):
            raise Bad('MQTT5 [MQTT-3.8.3-4]', 'No Local on a shared subscription', PROTOCOL)
        out['filters'].append([wanted, options])
    return out


def unsubscribe(body, sender, flags):
    v = body.version
    out = {'packet_id': packet_id(body, by(v, 'MQTT5 [MQTT-2.2.1-3]', 'MQTT311 [MQTT-2.3.1-1]'))}
    if v == 5:
        out['properties'] = properties(body, 'UNSUBSCRIBE', sender)
    if not body.left():
        raise Bad(by(v, 'MQTT5 [MQTT-3.10.3-2]', 'MQTT311 [MQTT-3.10.3-2]'), 'no topic filter', PROTOCOL)
    out['filters'] = []
    while body.left():
        out['filters'].append(topic_filter(body.text(), v))
    return out


def suback(body, sender, flags):
    v = body.version
    out = {'packet_id': packet_id(body, by(v, 'MQTT5 2.2.1', 'MQTT311 2.3.1'))}
    if v == 5:
        out['properties'] = properties(body, 'SUBACK', sender)
    if not body.left():
        raise Bad(by(v, 'MQTT5 [MQTT-3.8.4-6]', 'MQTT311 [MQTT-3.8.4-5]'), 'no reason code', EITHER)
    out['reasons'] = list(body.take(body.left()))
    for code in out['reasons']:
        if v == 4 and code not in (0, 1, 2, 0x80):
            raise Bad('MQTT311 [MQTT-3.9.3-2]', 'a reserved return code')
        if v == 5:
            check_reason('SUBACK', sender, code)
    return out


def unsuback(body, sender, flags):
    v = body.version
    out = {'packet_id': packet_id(body, by(v, 'MQTT5 2.2.1', 'MQTT311 2.3.1'))}
    if v == 4:
        body.end()
        return out
    out['properties'] = properties(body, 'UNSUBACK', sender)
    if not body.left():
        raise Bad('MQTT5 3.11.3', 'no reason code', EITHER)
    out['reasons'] = list(body.take(body.left()))
    for code in out['reasons']:
        check_reason('UNSUBACK', sender, code)
    return out


def ping(body, sender, flags):
    body.end()
    return {}


def disconnect(body, sender, flags):
    if body.version == 4:
        body.end()
        return {}
    out = {'reason': 0, 'properties': {}}
    if body.left():
        out['reason'] = body.number(1)
        check_reason('DISCONNECT', sender, out['reason'])
    if body.left():
        out['properties'] = properties(body, 'DISCONNECT', sender)
    body.end()
    return out


def auth(body, sender, flags):
    out = {'reason': 0, 'properties': {}}
    if body.left():
        out['reason'] = body.number(1)
    check_reason('AUTH', sender, out['reason'])
    if not len(body.data):  # 3.15.2.1 allows the short form, 3.15.2.2.2 wants a method: no receiver is wrong
        body.doubts.append((PROTOCOL, 'MQTT5 3.15.2.2.2'))
        return out
    out['properties'] = properties(body, 'AUTH', sender)
    if 'authentication_method' not in out['properties']:
        raise Bad('MQTT5 3.15.2.2.2', 'AUTH without Authentication Method', PROTOCOL)
    body.end()
    return out


READERS = {'CONNECT': connect, 'CONNACK': connack, 'PUBLISH': publish, 'SUBSCRIBE': subscribe, 'SUBACK': suback,
           'UNSUBSCRIBE': unsubscribe, 'UNSUBACK': unsuback, 'PINGREQ': ping, 'PINGRESP': ping, 'DISCONNECT': disconnect,
           'AUTH': auth, **{name: acknowledgement(name) for name in ('PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP')}}


def check_first_byte(first, version, sender):
    """MQTT5 2.1.2, 2.1.3"""
    kind, flags = first >> 4, first & 15
    section = by(version, 'MQTT5 2.1.2', 'MQTT311 2.2.1')
    if kind == 0 or kind == 15 and version == 4:
        raise Bad(section, 'a reserved packet type', EITHER)
    name = TYPES[kind]
    _, wanted, who = PACKETS[name]
    if who not in (sender, 'both') or name == 'DISCONNECT' and version == 4 and sender == 'server':
        raise Bad(section, 'a %s does not send %s' % (sender, name), (0x82, 0x81))
    if name == 'PUBLISH':
        if flags & 6 == 6:
            raise Bad(by(version, 'MQTT5 [MQTT-3.3.1-4]', 'MQTT311 [MQTT-3.3.1-4]'), 'both QoS bits set')
        if flags & 0xE == 8:
            raise Bad(by(version, 'MQTT5 [MQTT-3.3.1-2]', 'MQTT311 [MQTT-3.3.1-2]'), 'DUP with QoS 0', EITHER)
    elif flags != wanted:
        raise Bad(by(version, FLAG_CLAUSES.get(name, 'MQTT5 [MQTT-2.1.3-1]'),
                     FLAG_CLAUSES_311.get(name, 'MQTT311 [MQTT-2.2.2-1]')), 'reserved flags of the fixed header')
    return name, flags


def remaining_length(data, version):
    """The number and how many bytes it takes: MQTT5 2.1.4, 1.5.5."""
    value = 0
    for i in range(1, 5):
        if len(data) <= i:
            raise Incomplete()
        value |= (data[i] & 0x7F) << (7 * (i - 1))
        if data[i] < 0x80:
            if i > 1 and data[i] == 0:
                raise Bad(by(version, 'MQTT5 [MQTT-1.5.5-1]', 'MQTT311 2.2.3'), 'Remaining Length not in its shortest form',
                          MALFORMED, lenient=True)
            return value, i
    raise Bad(by(version, 'MQTT5 2.1.4', 'MQTT311 2.2.3'), 'Remaining Length of more than four bytes')


def read(data, version, sender):
    """The first packet of `data`. `version` is what the connection speaks (4 is 3.1.1); a CONNECT says its own."""
    if not data:
        raise Incomplete()
    name, flags = check_first_byte(data[0], version, sender)
    length, width = remaining_length(data, version)
    if len(data) < 1 + width + length:
        raise Incomplete()
    section = by(version, 'MQTT5 3.%d', 'MQTT311 3.%d') % PACKETS[name][0]
    body = Body(data[1 + width:1 + width + length], version, section)
    packet = Packet(name, READERS[name](body, sender, flags), 1 + width + length)
    packet.doubts = body.doubts
    return packet
