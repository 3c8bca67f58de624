"""What is in the image's root, as SPDX 2.3 in JSON: spdx.py ROOT VERSION SECONDS

The packages are those of dpkg's status in ROOT. A license is said where the package's copyright file is machine readable, in SPDX's names; one
that SPDX has no name for goes along as its text. Of other packages it is NOASSERTION."""
import hashlib
import json
import logging
import re
import sys
import urllib.parse
import uuid
from datetime import UTC, datetime
from pathlib import Path

from debian.copyright import Copyright, MachineReadableFormatError, NotMachineReadableError
from debian.deb822 import Deb822

# Debian's names (of its copyright format, and those that packages made up) for SPDX's.
NAMES = {"expat": "MIT", "mit": "MIT", "x11": "X11", "isc": "ISC", "curl": "curl", "zlib": "Zlib", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
         "bsd-4-clause": "BSD-4-Clause", "apache-2.0": "Apache-2.0", "openldap-2.8": "OLDAP-2.8", "mpl-2.0": "MPL-2.0", "0bsd": "0BSD", "cc0-1.0": "CC0-1.0", "unicode": "Unicode-DFS-2016"}
GNU = re.compile(r"(a?gpl|lgpl|gfdl)-(\d)(?:\.(\d))?(?:\.0)?(\+)?", re.I)


def identifier(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-")


class Licenses:
    """Those of one package; what has no SPDX name is kept with its text in `extracted`."""

    def __init__(self, package: str, copyright: Copyright, extracted: dict):
        self.package, self.extracted = package, extracted
        self.texts = {paragraph.license.synopsis: paragraph.license.text for paragraph in copyright.all_license_paragraphs()}
        self.of_files = [paragraph.license for paragraph in copyright.all_files_paragraphs() if paragraph.license]

    def name(self, name: str, text: str) -> str:
        gnu = GNU.fullmatch(name)
        if gnu:
            kind, major, minor, later = gnu.groups()
            return f"{kind.upper()}-{major}.{minor or 0}-{'or-later' if later else 'only'}"
        if name.lower() in NAMES:
            return NAMES[name.lower()]
        reference = f"LicenseRef-{identifier(self.package)}-{identifier(name)}"
        self.extracted[reference] = (name, self.texts.get(name) or text or name)
        return reference

    def expression(self, synopsis: str, text: str) -> str:
        """ "GPL-2+ or LGPL-3, and Expat": a comma binds weakest, "and" stronger than "or" as in SPDX."""
        weakest = [re.split(r"\s+or\s+", part.strip(), flags=re.I) for part in re.split(r",\s*and\s+", synopsis)]
        parts = [" OR ".join(" AND ".join(self.name(one.strip(), text) for one in re.split(r"\s+and\s+|/", way, flags=re.I) if one.strip()) for way in ways) for ways in weakest]
        return " AND ".join(f"({part})" if len(parts) > 1 and " OR " in part else part for part in parts)

    def all(self) -> str:
        found = sorted({self.expression(license.synopsis, license.text) for license in self.of_files if license.synopsis})
        return " AND ".join(f"({one})" if " " in one and len(found) > 1 else one for one in found) or "NOASSERTION"


def license_of(package: str, root: Path, extracted: dict) -> str:
    file = root / "usr/share/doc" / package / "copyright"
    try:
        return Licenses(package, Copyright(file.read_text(errors="replace").splitlines(), strict=False), extracted).all()
    except (NotMachineReadableError, MachineReadableFormatError, ValueError, FileNotFoundError):
        return "NOASSERTION"


def debian_package(status: Deb822, root: Path, suite: str, extracted: dict) -> dict:
    name, version = status["Package"], status["Version"]
    source = re.match(r"(\S+)(?: \((.*)\))?", status.get("Source", name))
    license = license_of(name, root, extracted)
    where = urllib.parse.urlencode({"arch": status["Architecture"], "distro": suite})
    return {"SPDXID": f"SPDXRef-{identifier(name)}", "name": name, "versionInfo": version, "supplier": "Organization: Debian", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "sourceInfo": f"built from {source[1]} {source[2] or version}", "licenseConcluded": "NOASSERTION", "licenseDeclared": license, "copyrightText": "NOASSERTION",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": f"pkg:deb/debian/{name}@{urllib.parse.quote(version, safe='')}?{where}"}]}


def main() -> None:
    logging.disable()  # it tells of each copyright file whose form it mends
    root, version, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    system = dict(line.split("=", 1) for line in (root / "usr/lib/os-release").read_text().splitlines() if "=" in line)
    extracted: dict = {}
    with open(root / "var/lib/dpkg/status") as file:
        packages = [debian_package(status, root, system["VERSION_CODENAME"], extracted) for status in Deb822.iter_paragraphs(file, use_apt_pkg=False)]
    ours = {"SPDXID": "SPDXRef-image", "name": "chat-worker", "versionInfo": version, "supplier": "NOASSERTION", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "primaryPackagePurpose": "CONTAINER"}
    programs = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.name}\n" for path in sorted((root / "usr/bin").iterdir()))
    ours["comment"] = "SHA-256 of its programs: " + ", ".join(programs.split("\n")[:-1])
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"chat-worker-{version}",
        "creationInfo": {"created": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: chat-worker-charts-image"]},
        "packages": [ours, *packages],
        "hasExtractedLicensingInfos": [{"licenseId": reference, "name": name, "extractedText": text} for reference, (name, text) in sorted(extracted.items())],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": ours["SPDXID"]},
                          *({"spdxElementId": ours["SPDXID"], "relationshipType": "CONTAINS", "relatedSpdxElement": package["SPDXID"]} for package in packages)]}
    said = json.dumps(document, indent=1, sort_keys=True)
    # The same content has the same name.
    document["documentNamespace"] = f"https://spdx.org/spdxdocs/chat-worker-{identifier(version)}-{uuid.uuid5(uuid.NAMESPACE_URL, said)}"
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


main()
