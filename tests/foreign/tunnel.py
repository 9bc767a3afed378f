"""A TCP port that leads to a broker over TCP, TLS, WebSocket or WebSocket in TLS: for foreign clients that speak TCP only."""
import socket
import ssl
import threading

import wsproto
import wsproto.events


class Plain:
    def __init__(self, sock):
        self.sock = sock

    def send(self, data):
        self.sock.sendall(data)

    def receive(self):
        return self.sock.recv(65536)


class WebSocket:
    """Binary frames, subprotocol mqtt (MQTT5 6)."""

    def __init__(self, sock, path):
        self.sock, self.ws, self.ready = sock, wsproto.WSConnection(wsproto.ConnectionType.CLIENT), b''
        sock.sendall(self.ws.send(wsproto.events.Request(host='localhost', target=path, subprotocols=['mqtt'])))
        while not any(isinstance(e, wsproto.events.AcceptConnection) for e in self._events()):
            pass

    def _events(self):
        more = self.sock.recv(65536)
        self.ws.receive_data(more or None)
        return list(self.ws.events())

    def send(self, data):
        self.sock.sendall(self.ws.send(wsproto.events.BytesMessage(data=data)))

    def receive(self):
        while True:
            data = b''
            for event in self._events():
                if isinstance(event, wsproto.events.BytesMessage):
                    data += bytes(event.data)
                elif isinstance(event, wsproto.events.Ping):
                    self.sock.sendall(self.ws.send(event.response()))
                elif isinstance(event, wsproto.events.CloseConnection):
                    return data
            if data:
                return data


class Tunnel:
    """`kind` is tcp, tls, ws or wss; `port` is where to connect to instead."""

    def __init__(self, kind, target, ca, path='/mqtt'):
        self.kind, self.target, self.ca, self.path = kind, target, ca, path
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _dial(self):
        sock = socket.create_connection(('127.0.0.1', self.target))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.kind in ('tls', 'wss'):
            sock = ssl.create_default_context(cafile=self.ca).wrap_socket(sock, server_hostname='localhost')
        return sock, WebSocket(sock, self.path) if self.kind in ('ws', 'wss') else Plain(sock)

    def _serve(self, near):
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock, far = self._dial()
        except (OSError, wsproto.utilities.RemoteProtocolError):
            near.close()
            return
        threading.Thread(target=self._back, args=(near, far), daemon=True).start()
        try:
            while data := near.recv(65536):
                far.send(data)
        except OSError:
            pass
        for s in (sock, near):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def _back(near, far):
        try:
            while data := far.receive():
                near.sendall(data)
        except (OSError, wsproto.utilities.ProtocolError):
            pass
        try:
            near.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
