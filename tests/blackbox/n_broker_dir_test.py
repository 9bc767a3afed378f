"""`symbolon as rs add --broker-dir`: one command between a certificate and a broker that runs; all of it or nothing."""
import base64
import json
import os
import resource
import signal
import stat
import subprocess

import pytest
from world import WAIT, Daemon, program, run_cli

USAGE, REFUSED, FILE = 2, 5, 9
MADE = ['as-ca.pem', 'as.secret', 'broker.yaml', 'token.jwk']


@pytest.fixture()
def add(as_server, tmp_path):
    """add(audience, ...): the command with a certificate in tmp_path/broker and the folder tmp_path/broker."""
    certificate, _ = as_server.certificate(str(tmp_path / 'broker' / 'broker'), 'localhost')  # makes the folder

    def run(audience, *words, folder=tmp_path / 'broker', socket=as_server.socket_path):
        return run_cli('as', '--socket', str(socket), 'rs', 'add', audience, '--certificate', certificate, '--broker-dir',
                       str(folder), *words)

    return run


def registered(as_server):
    return [rs['rs_id'] for rs in as_server.admin('rs.list', limit=1000)['resource_servers']]


def check_config(path):
    return subprocess.run([program('symbolon-broker'), '--check-config', '--config', str(path)], capture_output=True, text=True,
                          timeout=WAIT)


def other_files(folder):
    return sorted(f for f in os.listdir(folder) if f not in ('broker.pem', 'broker.key'))


def test_a_broker_runs_from_what_it_made(as_server, add, tmp_path):
    done = add('dir-runs')
    assert done.returncode == 0, done.stderr
    folder = tmp_path / 'broker'
    assert other_files(folder) == MADE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ('as.secret', 'token.jwk'):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    secret, key = (folder / 'as.secret').read_text().strip(), json.loads((folder / 'token.jwk').read_text())['k']
    assert secret not in done.stdout + done.stderr and key not in done.stdout + done.stderr
    assert (folder / 'as-ca.pem').read_text() == open(as_server.ca, encoding='ascii').read()
    checked = check_config(folder / 'broker.yaml')
    assert checked.returncode == 0, checked.stderr
    text = (folder / 'broker.yaml').read_text()
    assert str(tmp_path) not in text, 'paths inside the folder are relative'
    (folder / 'broker.yaml').write_text(text.replace('8883', '0'))
    broker = Daemon(program('symbolon-broker'), '--config', str(folder / 'broker.yaml'))
    try:
        broker.event('jwks_fetched', keys=1)
    finally:
        broker.stop()


def test_a_folder_elsewhere_is_made_and_names_the_certificate_by_its_whole_path(add, tmp_path):
    done = add('dir "quoted" #1', '--rs-id', 'dir-elsewhere', '--json', '--no-introspect', folder=tmp_path / 'a' / 'b')
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said['rs']['rs_id'] == 'dir-elsewhere' and said['broker_config'] == str(tmp_path / 'a' / 'b' / 'broker.yaml')
    assert 'key' not in said and 'rs_secret' not in said
    assert other_files(tmp_path / 'a' / 'b') == [f for f in MADE if f != 'as.secret']
    assert stat.S_IMODE((tmp_path / 'a' / 'b').stat().st_mode) == 0o700
    checked = check_config(said['broker_config'])
    assert checked.returncode == 0, checked.stderr
    assert str(tmp_path / 'broker' / 'broker.key') in checked.stdout and 'dir \\"quoted\\" #1' in checked.stdout


def test_a_key_of_the_operators_own_is_used_where_it_lies(add, tmp_path):
    key = tmp_path / 'broker' / 'token.jwk'
    key.write_text(json.dumps({'kty': 'oct', 'k': base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip('=')}))
    before = key.read_text()
    done = add('dir-own-key', '--key', str(key))
    assert done.returncode == 0, done.stderr
    assert key.read_text() == before
    assert 'token_key_file: "token.jwk"' in (tmp_path / 'broker' / 'broker.yaml').read_text()


@pytest.mark.parametrize('name', MADE)
def test_nothing_is_overwritten(as_server, add, tmp_path, name):
    (tmp_path / 'broker' / name).write_text('mine')
    done = add('dir-over')
    assert done.returncode == FILE and name in done.stderr and 'nothing was registered' in done.stderr, done.stderr
    assert (tmp_path / 'broker' / name).read_text() == 'mine' and other_files(tmp_path / 'broker') == [name]
    assert 'dir-over' not in registered(as_server)


def test_the_authority_is_asked_for_where_it_is_not_known(as_server, add, tmp_path):
    os.symlink(as_server.socket_path, tmp_path / 'admin.sock')
    done = add('dir-ca', socket=tmp_path / 'admin.sock')
    assert done.returncode == USAGE and '--cafile' in done.stderr
    assert 'dir-ca' not in registered(as_server)
    done = add('dir-ca', '--cafile', as_server.ca, socket=tmp_path / 'admin.sock')
    assert done.returncode == 0, done.stderr


def test_what_is_missing_is_said_before_anything_is_registered(as_server, add, tmp_path):
    done = run_cli('as', '--socket', as_server.socket_path, 'rs', 'add', 'dir-less', '--broker-dir', str(tmp_path / 'new'))
    assert done.returncode == USAGE and '--certificate' in done.stderr
    done = run_cli('as', '--socket', as_server.socket_path, 'rs', 'add', 'dir-less', '--cafile', as_server.ca)
    assert done.returncode == USAGE and '--broker-dir' in done.stderr
    (tmp_path / 'broker' / 'broker.key').unlink()
    done = add('dir-less', folder=tmp_path / 'new')
    assert done.returncode == FILE and 'broker.key' in done.stderr
    assert not (tmp_path / 'new').exists() and 'dir-less' not in registered(as_server)


def test_a_refusal_leaves_no_folder(as_server, add, tmp_path):
    as_server.admin('rs.add', audience='dir-taken')
    done = add('dir-taken', folder=tmp_path / 'new')
    assert done.returncode == REFUSED and 'EXISTS' in done.stderr
    assert not (tmp_path / 'new').exists()


def small_files_only():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # the secret fits, the key does not


def test_a_full_disk_leaves_no_half_and_says_what_to_do(as_server, add, tmp_path):
    done = subprocess.run([program('symbolon'), 'as', '--socket', as_server.socket_path, 'rs', 'add', 'dir-full', '--certificate',
                           str(tmp_path / 'broker' / 'broker.pem'), '--broker-dir', str(tmp_path / 'broker')],
                          capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL, preexec_fn=small_files_only)
    assert done.returncode == FILE and 'token.jwk' in done.stderr, done.stderr
    assert 'symbolon as rs remove dir-full' in done.stderr
    assert other_files(tmp_path / 'broker') == []
    assert run_cli('as', '--socket', as_server.socket_path, 'rs', 'remove', 'dir-full').returncode == 0
    assert add('dir-full').returncode == 0
