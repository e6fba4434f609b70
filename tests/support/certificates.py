"""A throw-away certificate authority for the TLS listeners of the test servers."""

import os
import subprocess


SERVER_NAMES = "DNS:localhost,IP:127.0.0.1"
CA_CONFIG = """[ca]
default_ca = tests
[tests]
database = index.txt
default_md = sha256
default_crl_days = 30
"""


class Certificates:
    """ca.pem, server.key, server.pem (for localhost and 127.0.0.1) and other-ca.pem, which signed nothing; more with issue()."""

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
        self._openssl("genrsa", "-out", "server.key", "2048")
        self.issue("server")

    def issue(self, name, *, subject="localhost", names=SERVER_NAMES, days=30, authority="ca"):
        """NAME.pem, a certificate for server.key; days may be negative: expired since then. Returns its path."""
        with open(self._path(f"{name}.san"), "w", encoding="ascii") as file:
            file.write(f"subjectAltName={names}\n")
        self._openssl("req", "-new", "-key", "server.key", "-subj", f"/CN={subject}", "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial",
                      "-days", str(days), "-extfile", f"{name}.san", "-out", f"{name}.pem")
        return self._path(f"{name}.pem")

    def revoke(self, certificate):
        """A revocation list of the authority that names this certificate. Returns its path."""
        with open(self._path("ca.cnf"), "w", encoding="ascii") as file:
            file.write(CA_CONFIG)
        open(self._path("index.txt"), "w", encoding="ascii").close()
        authority = ("ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key")
        self._openssl(*authority, "-revoke", certificate)
        self._openssl(*authority, "-gencrl", "-out", "crl.pem")
        return self._path("crl.pem")

    def pem_store(self, certificate=None):
        """Key and certificate in one file, as Kafka's PEM key store wants them."""
        certificate = certificate or self.certificate
        path = certificate.replace(".pem", "-store.pem")
        with open(path, "w", encoding="ascii") as store:
            for part in (self.key, certificate):
                with open(part, encoding="ascii") as file:
                    store.write(file.read())
        return path
