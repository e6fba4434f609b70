"""A throw-away certificate authority for the TLS listeners of the test servers."""

import os
import subprocess


class Certificates:
    """ca.pem, server.key, server.pem (for localhost and 127.0.0.1) and other-ca.pem, which signed nothing."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.ca = self._path("ca.pem")
        self.other_ca = self._path("other-ca.pem")
        self.key = self._path("server.key")
        self.certificate = self._path("server.pem")
        if not os.path.exists(self.certificate):
            self._make()

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.directory)

    def _make(self):
        for name in ("ca", "other-ca"):
            self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN=outboxx test {name}",
                          "-keyout", f"{name}.key", "-out", f"{name}.pem")
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key",
                      "-out", "server.csr")
        with open(self._path("san"), "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "30", "-extfile", "san", "-out", "server.pem")

    def pem_store(self):
        """Key and certificate in one file, as Kafka's PEM key store wants them."""
        path = self._path("server-store.pem")
        with open(path, "w", encoding="ascii") as store:
            for part in (self.key, self.certificate):
                with open(part, encoding="ascii") as file:
                    store.write(file.read())
        return path
