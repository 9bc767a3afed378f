"""The admin credential: operators who are neither root nor the server's user, by the group of the socket and a login."""
import base64
import grp
import json
import os
import re
import shutil
import socket
import stat
import subprocess

import pytest
from world import WAIT, As, Daemon, program

OTHER = 65534
NOT_AUTHORIZED, REFUSED, UNTRUSTED, FILE = 4, 5, 6, 9


def as_other_user(path):
    """Whether that user can be played here and reach the program."""
    if os.geteuid() != 0:
        return 'only root can be another user'
    done = subprocess.run(['test', '-x', path], user=OTHER, group=OTHER, extra_groups=[])
    return None if done.returncode == 0 else 'another user cannot reach the programs'


@pytest.fixture(scope='module')
def door():
    """A folder that others may enter, with the server's socket and the operator's copy of the credential."""
    reason = as_other_user(program('symbolon'))
    if reason:
        pytest.skip(reason)
    folder = '/tmp/symbolon-door-%d' % os.getpid()
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope='module')
def site(door, tmp_path_factory):
    server = As(str(tmp_path_factory.mktemp('as')), admin_group=grp.getgrgid(OTHER).gr_name,
                admin_socket=door + '/admin.sock', **{'auth.failures_per_minute': 3})
    server.socket_path = door + '/admin.sock'
    server.credential = open(server.dir + '/admin.credential', encoding='ascii').read().strip()
    yield server
    server.daemon.stop()


@pytest.fixture()
def credential(door):
    """credential(text): a file of the other user with it."""
    made = []

    def write(text, mode=0o600):
        path = '%s/credential-%d' % (door, len(made))
        with open(path, 'w', encoding='ascii') as f:
            f.write(text + '\n')
        os.chmod(path, mode)
        os.chown(path, OTHER, OTHER)
        made.append(path)
        return path

    yield write
    for path in made:
        os.unlink(path)


def operator(site, *words, uid=OTHER, gid=OTHER, env=None):
    return subprocess.run([program('symbolon'), 'as', '--socket', site.socket_path, *words], user=uid, group=gid,
                          extra_groups=[], env=dict(os.environ, HOME='/nonexistent', **env or {}), capture_output=True,
                          text=True, timeout=WAIT, stdin=subprocess.DEVNULL)


def test_init_makes_the_credential_and_says_so(as_server):
    path = os.path.join(as_server.dir, 'admin.credential')
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    text = open(path, encoding='ascii').read()
    assert re.fullmatch(r'[A-Za-z0-9_-]{43}\n', text) and len(base64.urlsafe_b64decode(text.strip() + '=')) == 32
    assert 'admin.credential' in as_server.init_output and text.strip() not in as_server.init_output


def test_root_needs_no_credential_but_a_wrong_one_is_refused(as_server):
    assert as_server.admin('status')['version']
    right = open(as_server.dir + '/admin.credential', encoding='ascii').read().strip()
    for text, wanted in ((right, [True, True]), (right[::-1], [False])):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(WAIT)
            s.connect(as_server.socket_path)
            s.sendall(json.dumps({'cmd': 'login', 'credential': text}).encode() + b'\n{"cmd":"status"}\n')
            s.shutdown(socket.SHUT_WR)
            assert [json.loads(line)['ok'] for line in s.makefile('rb')] == wanted


def test_an_operator_of_the_group_logs_in_and_is_named_in_the_audit(site, credential):
    assert stat.S_IMODE(os.stat(site.socket_path).st_mode) == 0o660 and os.stat(site.socket_path).st_gid == OTHER
    file = credential(site.credential)
    done = operator(site, '--credential', file, 'client', 'add', 'by-operator', '--json')
    assert done.returncode == 0, done.stderr
    done = operator(site, 'client', 'show', 'by-operator', env={'SYMBOLON_AS_CREDENTIAL': file})
    assert done.returncode == 0, done.stderr
    last = site.admin('audit.list')['entries'][-1]
    assert last['actor'] == 'uid:%d' % OTHER and last['subject'] == 'by-operator'
    assert site.credential not in site.daemon.log()


def test_without_a_login_nothing_is_answered(site):
    before = len(site.daemon.find('admin_refused'))
    done = operator(site, 'client', 'list')
    assert done.returncode == NOT_AUTHORIZED and 'log in' in done.stderr and done.stdout == '', done.stderr
    event = site.daemon.event('admin_refused', count=before + 1)
    assert event.fields['uid'] == str(OTHER) and event.fields['status'] == 'DENIED' and event.fields['clause']
    assert len(site.daemon.find('admin_refused')) == before + 1


def test_who_is_not_of_the_group_does_not_even_connect(site, credential):
    file = credential(site.credential)
    os.chown(file, OTHER - 1, OTHER - 1)
    done = operator(site, '--credential', file, 'status', uid=OTHER - 1, gid=OTHER - 1)
    assert done.returncode == NOT_AUTHORIZED and 'admin_group' in done.stderr


def test_a_file_others_can_read_is_not_used(site, credential):
    done = operator(site, '--credential', credential(site.credential, mode=0o640), 'status')
    assert done.returncode == UNTRUSTED, done.stderr
    assert operator(site, '--credential', '/nonexistent/file', 'status').returncode == FILE


def test_wrong_credentials_are_refused_and_throttled(site, credential):
    site.restart()  # what others counted is forgotten
    wrong, right = credential(site.credential[::-1]), credential(site.credential)
    for n in range(3):
        done = operator(site, '--credential', wrong, 'status')
        assert done.returncode == NOT_AUTHORIZED and 'BAD_CREDENTIAL' in done.stderr, done.stderr
        site.daemon.event('admin_refused', count=n + 1, uid=OTHER, status='BAD_CREDENTIAL')
    done = operator(site, '--credential', right, 'status')
    assert done.returncode == REFUSED and 'QUOTA' in done.stderr, done.stderr
    assert site.admin('status')['version'], 'root is not meant'
    site.restart()
    assert operator(site, '--credential', right, 'status').returncode == 0


SILENT = """
import socket, sys
held = []
for n in range(17):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].settimeout(30)
    held[-1].connect(sys.argv[1])
print('last', held[-1].recv(10), flush=True)
sys.stdin.readline()
for s in held[:16]:
    print(s.makefile().read().strip(), flush=True)
"""


def test_who_never_logs_in_keeps_nobody_out_and_is_cut_in_the_end(site):
    silent = subprocess.Popen(['/usr/bin/python3', '-c', SILENT, site.socket_path], user=OTHER, group=OTHER, extra_groups=[],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert silent.stdout.readline() == "last b''\n"
    assert site.admin('status')['version'], 'root comes in'
    said, _ = silent.communicate('\n', timeout=WAIT)
    assert [json.loads(line)['error'] for line in said.splitlines()] == ['TIMEOUT'] * 16
    assert operator(site, 'status').returncode == NOT_AUTHORIZED  # there is room again


def test_a_credential_that_others_can_read_keeps_the_server_from_starting(tmp_path):
    server = As(str(tmp_path))
    server.daemon.stop()
    path = server.dir + '/admin.credential'
    os.chmod(path, 0o640)
    daemon = Daemon(program('symbolon-as'), '--config', server.config)
    assert daemon.process.wait(WAIT) == 1
    daemon.reader.join()
    event = daemon.find('as_failed')[0]
    assert event.fields['clause'] == 'admin.credential' and 'others' in event.fields['why']
    daemon.process.stdout.close()
    os.unlink(path)  # without one only root and the own user are served
    server.start()
    assert server.admin('status')['version']
    server.daemon.stop()
