"""Fixtures: an authorization server, a broker that trusts it, and what both need. One pair per test file, so that
files cannot disturb one another; BUILD_DIR says which build is tested."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pytest  # noqa: E402
import servers  # noqa: E402
import world  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line('markers', 'threads: also run against the ThreadSanitizer build')


def pytest_sessionstart(session):
    if os.environ.get('BLACKBOX_PARTIAL') is None and not world.have_programs():
        pytest.exit('the programs are not built in ' + world.BUILD, returncode=3)


@pytest.fixture(scope='module')
def as_server(tmp_path_factory):
    server = world.As(str(tmp_path_factory.mktemp('as')))
    yield server
    server.daemon.stop()


@pytest.fixture(scope='module')
def make_broker(tmp_path_factory):
    """make_broker(**what world.Broker takes): brokers that end with the file."""
    made = []

    def make(**settings):
        made.append(world.Broker(str(tmp_path_factory.mktemp('broker')), **settings))
        return made[-1]

    yield make
    for broker in made:
        broker.daemon.stop()


@pytest.fixture(scope='module')
def nobody(tmp_path_factory):
    """The environment of somebody who has nothing."""
    return world.home_env(tmp_path_factory.mktemp('nobody'))


@pytest.fixture(scope='module')
def mosquitto(tmp_path_factory):
    made = servers.Mosquitto(str(tmp_path_factory.mktemp('mosquitto')))
    yield made
    made.stop()


@pytest.fixture(scope='module')
def guarded(tmp_path_factory):
    """A mosquitto with TLS, and for one user only."""
    made = servers.Mosquitto(str(tmp_path_factory.mktemp('guarded')), password=('u', 'secret'), tls=True)
    yield made
    made.stop()
