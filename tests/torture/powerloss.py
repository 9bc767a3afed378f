#!/usr/bin/python3
"""powerloss.py ROOT LOG [--keep none|some|all] [--seed S]: what a disk holds whose power went.

To be run after kill -9 of a program that ran under powerloss.so with POWERLOSS_ROOT=ROOT and POWERLOSS_LOG=LOG. Of what
the program had not synced nothing is kept (none), or a part drawn from the seed (some): each 512 byte sector has what any of
the writes since the last sync put there, sizes and names are those of any moment since. `all` only forgets the account.
"""
import argparse
import os
import random
import shutil
import struct
import sys

HEAD = struct.Struct('=IIQQQQQQIIQ')
MAGIC = 0x504C4F53
WRITE, TRUNCATE, CREATE, UNLINK, RENAME, SYNC, SYNC_ONE, LOST = range(1, 9)
SECTOR = 512


class Op:
    def __init__(self, fields, path, path2, old):
        (_, self.type, self.seq, self.inode, self.offset, self.len, _, self.old_size, _, _, self.grave) = fields
        self.path, self.path2, self.old = path, path2, old
        self.safe = self.lost = False
        self.new = None


def read_log(path):
    """The operations, each of them marked if it was synced."""
    ops, waiting = [], {}
    with open(path, 'rb') as f:
        data = f.read()
    at = 0
    while at + HEAD.size <= len(data):
        fields = HEAD.unpack_from(data, at)
        assert fields[0] == MAGIC, 'the log is damaged at %d' % at
        old_len, n1, n2 = fields[6], fields[8], fields[9]
        end = at + HEAD.size + n1 + n2 + old_len
        if end > len(data):
            break  # what it speaks of was never begun
        text = data[at + HEAD.size:end]
        op = Op(fields, text[:n1].decode(), text[n1:n1 + n2].decode(), text[n1 + n2:])
        at = end
        pending = waiting.setdefault(op.inode, [])
        if op.type < SYNC:
            ops.append(op)
            pending.append(op)
        elif op.type == LOST:
            for one in pending:
                one.lost = True
        else:
            for one in pending:
                if not one.lost and (one.seq == op.seq if op.type == SYNC_ONE else one.seq <= op.seq):
                    one.safe = True
            waiting[op.inode] = [one for one in pending if not one.safe and not one.lost]
    return ops


def files_by_inode(root, log):
    found = {}
    for top in (root, os.path.join(log, 'grave')):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                found.setdefault(status.st_ino, path)
    return found


def splice(content, offset, data):
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset:offset + len(data)] = data


def undo_all(content, ops):
    """Back to before the first of them; each learns what it had written."""
    for op in reversed(ops):
        if op.type == WRITE:
            op.new = bytes(content[op.offset:op.offset + op.len])
            op.size = max(op.old_size, op.offset + len(op.new))
        else:
            op.new, op.size = b'', op.offset
        splice(content, op.offset, op.old)
        del content[op.old_size:]
        if len(content) < op.old_size:
            content.extend(bytes(op.old_size - len(content)))


def replay(content, ops, keep, rng):
    """Every sector with what some of its writes left there, in their order; the synced ones always."""
    unsafe = [op for op in ops if not op.safe]
    sized = {op for op in ops if op.safe} | set(unsafe[:rng.randint(0, len(unsafe))] if keep == 'some' else [])
    cut = {}
    for op in ops:
        first, last = op.offset // SECTOR, (op.offset + max(len(op.new), 1) - 1) // SECTOR
        for sector in range(first, last + 1):
            if not op.safe:
                if keep != 'some':
                    continue
                if sector not in cut:
                    cut[sector] = rng.choice((0, op.seq, op.seq, 1 << 62, 1 << 62, rng.randint(op.seq, op.seq + 20)))
                if op.lost or op.seq > cut[sector]:
                    continue
            begin = max(op.offset, sector * SECTOR)
            end = min(op.offset + len(op.new), (sector + 1) * SECTOR)
            if end > begin:
                splice(content, begin, op.new[begin - op.offset:end - op.offset])
    size = ops[0].old_size
    for op in ops:
        if op in sized:
            size = op.size if op.type == TRUNCATE else max(size, op.size)
    del content[size:]
    content.extend(bytes(size - len(content)))


def restore_contents(path, ops, keep, rng):
    with open(path, 'r+b') as f:
        content = bytearray(f.read())
        undo_all(content, ops)
        replay(content, ops, keep, rng)
        f.seek(0)
        f.write(content)
        f.truncate()


def undo_name(op, log):
    """A name that had not been synced is as it was."""
    grave = os.path.join(log, 'grave', str(op.grave)) if op.grave else None
    if op.type == RENAME:
        if os.path.lexists(op.path2):
            os.rename(op.path2, op.path)
        target = op.path2
    elif op.type == CREATE:
        if os.path.isdir(op.path):
            shutil.rmtree(op.path)
        elif os.path.lexists(op.path):
            os.unlink(op.path)
        return
    else:
        target = op.path
    if grave and os.path.lexists(grave) and not os.path.lexists(target):
        os.link(grave, target)


def forget(log):
    with open(os.path.join(log, 'log'), 'wb'):
        pass
    shutil.rmtree(os.path.join(log, 'grave'), ignore_errors=True)


def lose_power(root, log, keep='some', seed=0):
    """Returns how many operations were undone, wholly or in part."""
    if not os.path.exists(os.path.join(log, 'log')):
        return 0
    ops = read_log(os.path.join(log, 'log'))
    undone = 0
    if keep != 'all':
        rng, inodes, by_inode = random.Random(seed), files_by_inode(root, log), {}
        for op in ops:
            if op.type in (WRITE, TRUNCATE):
                by_inode.setdefault(op.inode, []).append(op)
        for inode, some in by_inode.items():
            if inode in inodes and not all(op.safe for op in some):
                restore_contents(inodes[inode], some, keep, rng)
                undone += sum(not op.safe for op in some)
        names = [op for op in ops if op.type in (CREATE, UNLINK, RENAME) and not op.safe]
        for op in reversed(names[rng.randint(0, len(names)) if keep == 'some' else 0:]):
            undo_name(op, log)
            undone += 1
    forget(log)
    return undone


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root')
    parser.add_argument('log')
    parser.add_argument('--keep', choices=('none', 'some', 'all'), default='some')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    print('%d operations undone' % lose_power(options.root, options.log, options.keep, options.seed))
    return 0


if __name__ == '__main__':
    sys.exit(main())
