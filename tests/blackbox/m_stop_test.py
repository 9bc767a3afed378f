"""How the broker leaves: in order at the first SIGTERM, at once at the second."""
import os
import signal

import mqtt5
import world


def test_a_second_signal_does_not_wait_for_clients(tmp_path):
    """A client that keeps its connection open after DISCONNECT is waited for, but not by who is in a hurry."""
    broker = world.Broker(str(tmp_path), public=[['public/#', ['pub', 'sub']]])
    with mqtt5.Client(broker.port, broker.ca) as client:
        assert client.open('lingering').reason == 0
        os.kill(broker.daemon.process.pid, signal.SIGTERM)
        assert client.expect(mqtt5.DISCONNECT).reason == 0x8B
        os.kill(broker.daemon.process.pid, signal.SIGTERM)
        assert broker.daemon.process.wait(world.WAIT) == 1
