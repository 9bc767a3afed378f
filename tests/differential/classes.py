"""Why two correct brokers may differ: each difference between their transcripts belongs to a class, or is UNKNOWN.

A class has a name, a test, and whether the transcripts may be compared further behind it. NOTED classes go by what the step
was meant to break (its note in scripts.py). docs/conformance/differences.md is made of this file and of a run.
"""
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'blackbox'))
import mqtt5 as m  # noqa: E402

UNKNOWN = 'NOT CLASSIFIED'


def ordered(lines):
    """Messages of one topic in their order, as MQTT5 4.6 has it; those of different topics may overtake each other."""
    messages = sorted((line for line in lines if line.startswith('PUBLISH')), key=lambda line: line.split(' ')[1])
    return messages, [line for line in lines if not line.startswith('PUBLISH')]


def reason(lines):
    for line in lines:
        found = re.match(r'(?:CONNACK .*|DISCONNECT )reason=(\w\w)|CONNACK .*code=(\d+)', line)
        if found:
            return found.group(1) or found.group(2)
    return None


class Difference:
    """One step: what its own client got from us and from them, and all clients together."""

    def __init__(self, script, at, ours, theirs):
        self.script, self.at, self.step = script, at, script.steps[at]
        c = self.step.client
        self.note = self.step.note
        self.us, self.them = ours[at][c], theirs[at][c]
        self.ours, self.theirs = ours[at], theirs[at]
        self.we_close, self.they_close = 'closed' in self.us, 'closed' in self.them
        self.our_reason, self.their_reason = reason(self.us), reason(self.them)


def copies(lines):
    """Of each message the copies: (qos, retain, dup) each."""
    found = {}
    for line in ordered(lines)[0]:
        topic, qos, retain, dup, rest = re.match(r"PUBLISH (b['\"].*?['\"]) qos=(\d) retain=(\d) dup=(\d) (.*)", line).groups()
        rest = re.sub(r' ?subscription_id=\d+', '', rest).strip()
        found.setdefault((topic, rest), []).append((int(qos), int(retain), int(dup)))
    return found


def overlaps(d):
    """Several subscriptions of a client match: we send one copy with the highest QoS and all identifiers, they one for each
    (MQTT5 3.3.4 allows both)."""
    several = False
    for us, them in zip(d.ours, d.theirs):
        if set(ordered(us)[1]) != set(ordered(them)[1]):
            return False
        ours, theirs = copies(us), copies(them)
        if set(ours) != set(theirs):
            return False
        for message, copy in ours.items():
            if len(copy) > len(theirs[message]):
                return False
            several = several or len(theirs[message]) > 1
    return several


def subscriptions(script, client, until):
    """What a client asked for so far: [(filter, options)] in its order, sessions and refusals not looked at."""
    found = []
    for step in script.steps[:until + 1]:
        if step.client != client or not step.data or step.data[0] >> 4 != m.SUBSCRIBE:
            continue
        r = m.Reader(step.data)
        try:
            r.take(1), r.varint(), r.take(2)
            if script.versions[client] == 5:
                r.take(r.varint())
            while r.at < len(step.data):
                found.append((r.prefixed(), r.take(1)[0]))
        except (ValueError, IndexError, struct.error):
            pass
    return found


def changes_options(d):
    """A subscription replaced by one with another no-local or retain-as-published, at a client that got something else."""
    for c in range(len(d.ours)):
        if ordered(d.ours[c]) != ordered(d.theirs[c]):
            options = {}
            for f, o in subscriptions(d.script, c, d.at):
                options.setdefault(f, set()).add(o & 0x0C)
            if any(len(o) > 1 for o in options.values()):
                return True
    return False


def unreleased(d):
    """Some client has sent a QoS 2 message and not yet PUBREL."""
    return any(s.data and s.data[0] >> 4 == m.PUBLISH and s.data[0] & 6 == 4 and b'\x62\x02' not in s.data
               for s in d.script.steps[:d.at + 1])


def lower_qos(d):
    """To a client of 3.1.1 with overlapping subscriptions mosquitto sends one copy, at the QoS of any of them."""
    for c in range(len(d.ours)):
        if ordered(d.ours[c]) == ordered(d.theirs[c]):
            continue
        ours, theirs = copies(d.ours[c]), copies(d.theirs[c])
        if d.script.versions[c] == 5 and set(ours) == set(theirs):
            continue  # several copies to another client: as overlaps()
        if d.script.versions[c] != 4 or set(ours) != set(theirs) or len(subscriptions(d.script, c, d.at)) < 2:
            return False
        if any(min(o)[0] < max(t)[0] for o, t in zip(ours.values(), (theirs[k] for k in ours))):
            return False
    return True


def unknown_identifier(d):
    return d.ours != d.theirs and [[line.replace('reason=92', 'reason=00') for line in one] for one in d.ours] == d.theirs


def dollar_filter(d):
    """A byte of a filter has become `$`: `#`, which is public here, does not include it."""
    return not d.we_close and any(re.match(rb'\$(?!share/)', f) for f, _ in subscriptions(d.script, d.step.client, d.at))


def window_passed(d):
    """As overlaps(), at a client that does not acknowledge: their copy at QoS 0 need not wait for its window."""
    for c in range(len(d.ours)):
        if ordered(d.ours[c]) != ordered(d.theirs[c]) and (
                d.script.acks[c] or len(subscriptions(d.script, c, d.at)) < 2 or len(d.ours[c]) > len(d.theirs[c])):
            return False
    return True


def second_connect(d):
    """mosquitto takes the flags and the Will of a second CONNECT before it closes."""
    return any('second CONNECT' in s.note for s in d.script.steps[:d.at + 1])


def half_subscribed(d):
    return any(s.note.startswith('SUBSCRIBE ') for s in d.script.steps[:d.at + 1])


def retained_order(d):
    """More retained messages than the window of a client that does not acknowledge has room for: which go first is free."""
    c = d.step.client
    return (not d.script.acks[c] and 'SUBSCRIBE' in d.note and any('retain=1' in line for line in d.us) and
            all(ordered(d.ours[o]) == ordered(d.theirs[o]) for o in range(len(d.ours)) if o != c))


OVERLAP = 'one copy for overlapping subscriptions'
# name, test, may the transcripts be compared behind it, why both are right or who is not
CLASSES = [
    (OVERLAP, overlaps, True,
     'MQTT5 3.3.4 lets a server send one copy with the highest QoS and every Subscription Identifier, or one for each '
     'subscription. We send one, mosquitto several.'),
    ('an unknown packet identifier is named', unknown_identifier, True,
     'PUBREC and PUBREL for an identifier nobody knows: we answer with 0x92 (MQTT5 3.6.2.1, 3.7.2.1), mosquitto with 0x00.'),
    ('a filter that begins with `$`', dollar_filter, True,
     'A changed byte made a filter begin with `$`. Our permissions cover such topics only by name; mosquitto has none here.'),
    ('one copy for overlapping subscriptions, waiting', window_passed, False,
     'The same, at a client that leaves its window full: our one copy has the highest QoS and waits, their copy at QoS 0 passes.'),
    ('options of a replaced subscription', changes_options, False,
     'MQTT5 [MQTT-3.8.4-3]: the new subscription replaces the old one. mosquitto 2.0.11 keeps No Local and Retain As Published of the '
     'old one.'),
    ('a second CONNECT', second_connect, False,
     'Both end the connection ([MQTT-3.1.0-2]). mosquitto has taken Clean Session and the Will of the second CONNECT by then.'),
    ('a malformed SUBSCRIBE', half_subscribed, False,
     'Both end the connection. mosquitto keeps the subscriptions that stood in front of what was malformed; we keep none.'),
    ('retained messages in another order', retained_order, False,
     'More of them than fit the window of a client that does not acknowledge; their order is free between topics.'),
    ('QoS 2 at PUBLISH or at PUBREL', unreleased, False,
     'A QoS 2 message may be passed on when it comes or when it is released (MQTT5 figure 4.3). We do the first, mosquitto the second.'),
    ('the highest QoS to a client of 3.1.1', lower_qos, False,
     'MQTT311 [MQTT-3.3.5-1] asks for the highest QoS of all subscriptions that match; mosquitto sends that of one of them.'),
]

# What the step broke -> what the standard says of it.
BROKEN = {
    'AUTH out of the blue': 'Protocol Error, [MQTT-4.12.0-7]',
    'AUTH without a method': 'an AUTH needs its method: MQTT5 3.15.2.2.2',
    'CONNACK from a client': 'servers send it: Protocol Error',
    'CONNECT a property twice': 'Protocol Error, MQTT5 3.1.2.11',
    'CONNECT authentication data without a method': 'Protocol Error, MQTT5 3.1.2.11.10',
    'CONNECT cut short': 'Malformed Packet',
    'CONNECT flags in the header': 'Malformed Packet, [MQTT-2.1.3-1]',
    'CONNECT identifier not UTF-8': 'Malformed Packet, [MQTT-1.5.4-1]',
    'CONNECT level 0': '0x84, [MQTT-3.1.2-2]; a level we do not know is answered in the language of 5.0',
    'CONNECT level 6': '0x84, [MQTT-3.1.2-2]; a level we do not know is answered in the language of 5.0',
    'CONNECT maximum packet size 0': 'Protocol Error, MQTT5 3.1.2.11.4',
    'CONNECT password without user name': 'MQTT311 [MQTT-3.1.2-22]',
    'CONNECT property of PUBLISH': 'Malformed Packet, MQTT5 2.2.2.2',
    'CONNECT protocol name': '0x84 or nothing, [MQTT-3.1.2-1]',
    'CONNECT receive maximum 0': 'Protocol Error, MQTT5 3.1.2.11.3',
    'CONNECT request problem 2': 'Protocol Error, MQTT5 3.1.2.11.7',
    'CONNECT Will QoS 3': 'Malformed Packet, [MQTT-3.1.2-12]',
    'CONNECT Will retain without Will': 'Malformed Packet, [MQTT-3.1.2-13]',
    'CONNECT with bytes behind': 'Malformed Packet',
    'CONNECT with the reserved flag': 'Malformed Packet, [MQTT-3.1.2-3]',
    'CONNECT without an identifier, not clean': 'MQTT311 [MQTT-3.1.3-8]: code 2',
    'DISCONNECT flags': 'Malformed Packet, [MQTT-3.14.1-1]',
    'DISCONNECT with a server code': 'no code of a client: MQTT5 3.14.2.1',
    'DISCONNECT with an unknown code': 'no code at all: MQTT5 3.14.2.1',
    'DISCONNECT with session expiry': 'Protocol Error if it was 0 in CONNECT, MQTT5 3.14.2.2.2',
    'PINGREQ flags': 'Malformed Packet, [MQTT-2.1.3-1]',
    'PINGREQ with a body': 'it has none: Malformed Packet',
    'PINGRESP from a client': 'servers send it: Protocol Error',
    'PUBACK cut short': 'Malformed Packet',
    'PUBACK with a wrong code': 'no code of PUBACK: MQTT5 3.4.2.1',
    'PUBLISH cut short': 'Malformed Packet',
    'PUBLISH QoS 0 with DUP': '[MQTT-3.3.1-2]',
    'PUBLISH QoS 3': 'Malformed Packet, [MQTT-3.3.1-4]',
    'PUBLISH first': '[MQTT-3.1.0-1]',
    'PUBLISH to #': '[MQTT-3.3.2-2]: 0x81, 0x82 and 0x90 all fit',
    'PUBLISH to $SYS': 'ours is for the broker alone; mosquitto drops the message and says so in PUBACK of 5.0 only',
    'PUBLISH to a wildcard': '[MQTT-3.3.2-2]: 0x81, 0x82 and 0x90 all fit',
    'PUBLISH to the empty topic': 'MQTT5 3.3.2.3.4: Protocol Error without an alias',
    'PUBLISH topic not UTF-8': 'Malformed Packet, [MQTT-1.5.4-1]',
    'PUBLISH topic with U+0000': 'Malformed Packet, [MQTT-1.5.4-2]',
    'PUBLISH topic with a control character': 'MQTT5 1.5.4 lets a receiver refuse control characters, or not. We do not',
    'PUBLISH topic with a surrogate': 'Malformed Packet, [MQTT-1.5.4-1]',
    'PUBLISH with a property of CONNECT': 'Malformed Packet, MQTT5 2.2.2.2',
    'PUBLISH with a property twice': 'Protocol Error, MQTT5 3.3.2.3',
    'PUBLISH with a subscription identifier': 'Protocol Error from a client, [MQTT-3.3.4-6]',
    'PUBLISH with a wildcard in the response topic': '[MQTT-3.3.2-14]',
    'PUBLISH with alias 0': '0x94 or 0x82, [MQTT-3.3.2-8]',
    'PUBLISH with alias 65535': '0x94, [MQTT-3.3.2-9]',
    'PUBLISH with an unknown alias': 'Protocol Error, MQTT5 3.3.2.3.4',
    'PUBLISH with an unknown property': 'Malformed Packet, MQTT5 2.2.2.2',
    'PUBLISH with packet id 0': '[MQTT-2.2.1-3]',
    'PUBLISH with payload format 2': 'MQTT5 3.3.2.3.2 knows 0 and 1: Protocol Error',
    'PUBREL flags': 'Malformed Packet, [MQTT-3.6.1-1]',
    'SUBACK from a client': 'servers send it: Protocol Error',
    'SUBSCRIBE #/a': '[MQTT-4.7.1-1]',
    'SUBSCRIBE $share with a wildcard name': '[MQTT-4.8.2-2]',
    'SUBSCRIBE $share without a filter': '[MQTT-4.8.2-1]',
    'SUBSCRIBE QoS 3': 'Protocol Error, MQTT5 3.8.3.1',
    'SUBSCRIBE a#': '[MQTT-4.7.1-1]',
    'SUBSCRIBE a+': '[MQTT-4.7.1-2]',
    'SUBSCRIBE empty filter': '[MQTT-4.7.3-1]',
    'SUBSCRIBE flags': 'Malformed Packet, [MQTT-3.8.1-1]',
    'SUBSCRIBE identifier 0': 'Protocol Error, MQTT5 3.8.2.1.2',
    'SUBSCRIBE packet id 0': '[MQTT-2.2.1-3]',
    'SUBSCRIBE reserved bits': 'Malformed Packet, [MQTT-3.8.3-5]',
    'SUBSCRIBE retain handling 3': 'Protocol Error, MQTT5 3.8.3.1',
    'SUBSCRIBE shared with no local': 'Protocol Error, [MQTT-3.8.3-4]',
    'SUBSCRIBE without filters': 'Protocol Error, [MQTT-3.8.3-2]',
    'UNSUBSCRIBE flags': 'Malformed Packet, [MQTT-3.10.1-1]',
    'UNSUBSCRIBE without filters': 'Protocol Error, [MQTT-3.10.3-2]',
    'bytes of nonsense': '',
    'packet of type 0': 'Malformed Packet, MQTT5 2.1.2',
    'remaining length of five bytes': 'Malformed Packet, MQTT5 1.5.5',
    'second CONNECT': 'Protocol Error, [MQTT-3.1.0-2]',
    'type 15 in 3.1.1': 'MQTT311 2.2.1: forbidden',
    'PUBLISH with a changed byte': 'one of the above, by chance',
    'SUBSCRIBE with a changed byte': 'one of the above, by chance',
}
ENDS = [
    ('both end it, each with a code of its own',
     lambda d: d.we_close and d.they_close and d.our_reason and d.their_reason and d.our_reason != d.their_reason),
    ('both end it, mosquitto without a word', lambda d: d.we_close and d.they_close and d.our_reason and not d.their_reason),
    ('both end it, we without a word', lambda d: d.we_close and d.they_close and not d.our_reason and d.their_reason),
    ('only we end it', lambda d: d.we_close and not d.they_close),
    ('only mosquitto ends it', lambda d: d.they_close and not d.we_close),
]


def shown(code):
    return 'nothing' if code is None else '0x' + code if len(code) == 2 else code


def classify(script, at, ours, theirs):
    """Its class, and whether both brokers still know the same. A class of BROKEN is a pair: how they differ, what was broken."""
    d = Difference(script, at, ours, theirs)
    for name, matches in ENDS:
        if matches(d):
            detail = '%s (we say %s, they %s)' % (name, shown(d.our_reason), shown(d.their_reason)) if d.we_close else name
            return ((detail, d.note) if d.note in BROKEN else UNKNOWN), False
    for name, matches, goes_on, why in CLASSES:
        if matches(d):
            return name, goes_on
    return UNKNOWN, False
