"""Makes docs/conformance/differences.md of what a differential run has found."""
import classes

HEAD = """# Differences from mosquitto

<!-- made by tests/differential/run --write; do not edit -->

%d random scripts of MQTT 5.0 and 3.1.1 packets, legal and illegal, were played to `symbolon-broker` and to Debian's mosquitto
2.0.11 (seed %s), and what every client got was compared step by step: packets with flags, codes and properties, and who ended the
connection. Left out is what a broker may choose: packet identifiers, texts, capabilities, the order of messages of different
topics, and whether a publisher hears that nobody subscribes (0x10). **%d scripts went the same way**; in the others every
difference belongs to one of these classes. "As in" names a script: `tests/differential/run --seed=%s --only=N` shows it.

A script counts once in each class it has; it is compared no further once the two brokers no longer know the same.
"""


def write(path, arguments, found, samples):
    lines = [HEAD % (arguments.scripts, arguments.seed, found.get('same', 0), arguments.seed), '## Legal packets', '',
             '| difference | scripts | as in | why |', '|---|---|---|---|']
    for name, _, _, why in classes.CLASSES:
        if name in found:
            lines.append('| %s | %d | %d | %s |' % (name, found[name], samples[name], why))
    lines += ['', '## Illegal packets', '', 'Where only one of the two ends the connection, or they say different things.', '',
              '| what was broken | the standard | difference | scripts | as in |', '|---|---|---|---|---|']
    for how, note in sorted((k for k in found if isinstance(k, tuple)), key=lambda k: (k[1], k[0])):
        lines.append('| %s | %s | %s | %d | %d |' % (note, classes.BROKEN[note], how, found[how, note], samples[how, note]))
    if classes.UNKNOWN in found:
        lines += ['', '## Not classified', '', '%d scripts, as %d.' % (found[classes.UNKNOWN], samples[classes.UNKNOWN])]
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n'.join(lines) + '\n')
