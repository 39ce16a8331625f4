"""The sink, for HTTP/2: one connection after the other. A program of the peers' environment: with a certificate."""

import os
import socket
import ssl
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded
from h2.settings import SettingCodes

_HEADERS = [(":status", "200"), ("content-length", "0"), ("x-amzn-requestid", "7b2b7f0a-1111-2222-3333-444444444444")]


def main(certificate: str, key: str) -> None:
    """Serve until it is terminated."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with tls.wrap_socket(sock, server_side=True) as connection:
            _serve(connection)


def _serve(sock: ssl.SSLSocket) -> None:
    http = H2Connection(H2Configuration(client_side=False))
    http.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 128})
    http.initiate_connection()
    sock.sendall(http.data_to_send())
    while some := sock.recv(65_536):
        for event in http.receive_data(some):
            if isinstance(event, DataReceived):
                http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                http.send_headers(event.stream_id, _HEADERS, end_stream=True)
        sock.sendall(http.data_to_send())


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(*sys.argv[1:])
