"""A CA of the test run and any certificate of it, as PEM files."""

import base64
import dataclasses
import datetime
import hashlib
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Leaf:
    chain: pathlib.Path  # leaf first, then intermediates; not the root
    key: pathlib.Path
    certificate: x509.Certificate

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def pin(self) -> str:
        """Base64 of the SHA-256 of its public key (RFC 7469)."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        spki = self.certificate.public_key().public_bytes(serialization.Encoding.DER, form)
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def _new_key(kind: str):
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key({"ecdsa": ec.SECP256R1, "ecdsa384": ec.SECP384R1}[kind]())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A root, or an intermediate below `parent`. `pem` is its certificate's file."""

    def __init__(self, folder: pathlib.Path, name: str = "Test root", parent: "Authority | None" = None):
        self.folder = folder
        self.parent = parent
        self._key = _new_key("ecdsa")
        self._count = 0
        issuer, signer = (parent.certificate.subject, parent._key) if parent else (_name(name), self._key)
        self.certificate = (
            self._builder(_name(name), issuer, self._key, signer, -1, 30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(self._usage(certificates=True), critical=True)
            .sign(signer, hashes.SHA256())
        )
        self.pem = self._write(f"ca-{name.replace(' ', '-').lower()}.pem", _pem(self.certificate))

    def intermediate(self, name: str = "Test intermediate") -> "Authority":
        return Authority(self.folder, name, self)

    def leaf(self, *names: str, key: str = "ecdsa", client: bool = False, start: int = -1, end: int = 30,
             common_name: str | None = None, usages=None, extensions=()) -> Leaf:  # fmt: skip
        """A certificate for DNS names, addresses, URIs or mailboxes. `start` and `end` are days from now: end=-1 has
        expired. `key`: ecdsa, ecdsa384 or rsa. `client` makes it one for client authentication, `usages` for
        anything else."""
        private = _new_key(key)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        subject = _name(common_name or (names[0] if names else "nobody"))
        builder = (
            self._builder(subject, self.certificate.subject, private, self._key, min(start, end - 1), end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(self._usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages or [usage]), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_alternative, names))), critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self._count += 1
        stem = f"{self.certificate.serial_number:x}"[:8] + f"-{self._count}"
        chain = b"".join(map(_pem, [certificate, *self._above()]))
        return Leaf(self._write(stem + ".pem", chain), self._write(stem + ".key", self._key_pem(private)), certificate)

    def revocation_list(self, *revoked: "Leaf | Authority", start: int = -1, end: int = 7) -> bytes:
        """A CRL in PEM form; `start` and `end` are days from now."""
        now = datetime.datetime.utcnow()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now + min(start, end - 1) * DAY)
            .next_update(now + end * DAY)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now).build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _above(self) -> list[x509.Certificate]:
        return [self.certificate, *self.parent._above()] if self.parent else []

    @staticmethod
    def _builder(subject, issuer, key, signer, start: int, end: int):
        now = datetime.datetime.utcnow()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start * DAY)
            .not_valid_after(now + end * DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )

    @staticmethod
    def _usage(certificates: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not certificates, key_cert_sign=certificates, crl_sign=certificates,
            content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip

    def _key_pem(self, key) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _write(self, name: str, data: bytes) -> pathlib.Path:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path


class Certificates:
    """What most tests need, made once a run; `ca` makes anything else."""

    def __init__(self, folder: pathlib.Path):
        self.ca = Authority(folder)
        self.other_ca = Authority(folder, "Another root")
        self.localhost = self.ca.leaf("localhost", "127.0.0.1", "::1")
        self.localhost_rsa = self.ca.leaf("localhost", "127.0.0.1", "::1", key="rsa")
        self.client = self.ca.leaf("alice", client=True)
