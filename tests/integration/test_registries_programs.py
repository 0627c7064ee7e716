"""Go, cargo, Maven and npm themselves, in a real box, fetch from registries under their real names.

The registries are the test's own and have one tiny thing each. A program that this machine lacks is
not installed for that: its test is skipped, with its name.
"""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from codebot.domain.tree import Tree
from codebot.environment.recipes import find_recipes
from codebot.gateway.registries.table import NPM
from fakes.box_of_registries import egress_to, run_in_box
from fakes.far_registries import FarRegistries

MODULE = "example.com/tiny"
GO_MOD = f"module {MODULE}\n".encode()
GO_CODE = b'package tiny\n\nfunc Greeting() string { return "hello" }\n'
CARGO_TOML = b'[package]\nname = "tinycrate"\nversion = "1.0.0"\nedition = "2018"\n'
CARGO_CODE = b'pub fn greeting() -> &\'static str { "hello" }\n'
PARENT = b"""<project><modelVersion>4.0.0</modelVersion><groupId>com.example</groupId>\
<artifactId>tiny-parent</artifactId><version>1.0</version><packaging>pom</packaging></project>
"""
POM = b"""<project><modelVersion>4.0.0</modelVersion><parent><groupId>com.example</groupId>\
<artifactId>tiny-parent</artifactId><version>1.0</version></parent>\
<artifactId>shop</artifactId><packaging>pom</packaging></project>
"""


def requires(program: str, folders: str = "/usr/local/bin:/usr/bin") -> pytest.MarkDecorator:
    is_here = shutil.which(program, path=folders) is not None
    return pytest.mark.skipif(not is_here, reason=f"{program} is not installed below /usr")


def knows_sparse_indexes() -> bool:
    """Say whether cargo is one of 1.70 or newer."""
    cargo = shutil.which("cargo", path="/usr/local/bin:/usr/bin")
    if cargo is None:
        return False
    said = subprocess.run([cargo, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"cargo (\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= (1, 70)


def archive_of(files: Mapping[str, bytes]) -> bytes:
    with io.BytesIO() as kept:
        with tarfile.open(fileobj=kept, mode="w:gz") as file:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
        return kept.getvalue()


def zip_of(files: Mapping[str, bytes]) -> bytes:
    with io.BytesIO() as kept:
        with zipfile.ZipFile(kept, "w") as file:
            for name, content in files.items():
                file.writestr(name, content)
        return kept.getvalue()


def go_hash(files: Mapping[str, bytes]) -> str:
    """Give the hash of a go.sum: https://pkg.go.dev/golang.org/x/mod/sumdb/dirhash."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    digest = hashlib.sha256("".join(lines).encode()).digest()
    return f"h1:{base64.b64encode(digest).decode()}"


async def fetched(
    folder: Path,
    ecosystem: str,
    world: Mapping[str, bytes],
    files: Mapping[str, bytes],
    *commands: str,
) -> tuple[Sequence[str], Sequence[str]]:
    """Give what commands in a box print, and what they had fetched."""
    async with FarRegistries(folder, world) as far:
        egress = egress_to(folder, (ecosystem,), world=far)
        said = await run_in_box(folder, egress, *commands, files=files)
        return said, far.asked


@requires("go")
async def test_go_fetches_a_module_and_go_sum_stays_as_it_was(tmp_path: Path) -> None:
    inside = {f"{MODULE}@v1.0.0/go.mod": GO_MOD, f"{MODULE}@v1.0.0/tiny.go": GO_CODE}
    at = f"proxy.golang.org/{MODULE}/@v/v1.0.0"
    world = {
        f"{at}.info": b'{"Version": "v1.0.0"}',
        f"{at}.mod": GO_MOD,
        f"{at}.zip": zip_of(inside),
    }
    sums = (
        f"{MODULE} v1.0.0 {go_hash(inside)}\n{MODULE} v1.0.0/go.mod {go_hash({'go.mod': GO_MOD})}\n"
    ).encode()
    test = (
        f'package shop\n\nimport (\n\t"testing"\n\n\t"{MODULE}"\n)\n\n'
        'func TestGreeting(t *testing.T) { if tiny.Greeting() != "hello" { t.Fail() } }\n'
    )
    files = {
        "go.mod": f"module example.com/shop\n\ngo 1.16\n\nrequire {MODULE} v1.0.0\n".encode(),
        "go.sum": sums,
        "shop_test.go": test.encode(),
    }
    commands = ("go mod download", "go test ./...", "sha256sum go.sum")
    said, asked = await fetched(tmp_path, "go", world, files, *commands)
    assert said[-2].startswith("ok")
    assert said[-1].startswith(hashlib.sha256(sums).hexdigest())
    assert f"{at}.zip" in asked


@requires("cargo")
@pytest.mark.skipif(not knows_sparse_indexes(), reason="this cargo asks GitHub for its index")
async def test_cargo_fetches_a_crate_by_the_sparse_index(tmp_path: Path) -> None:
    crate = archive_of(
        {"tinycrate-1.0.0/Cargo.toml": CARGO_TOML, "tinycrate-1.0.0/src/lib.rs": CARGO_CODE}
    )
    entry = {
        "name": "tinycrate",
        "vers": "1.0.0",
        "deps": [],
        "cksum": hashlib.sha256(crate).hexdigest(),
        "features": {},
        "yanked": False,
    }
    download = "static.crates.io/crates/tinycrate/1.0.0/download"
    world = {
        "index.crates.io/config.json": json.dumps(
            {"dl": "https://static.crates.io/crates", "api": "https://crates.io"}
        ).encode(),
        "index.crates.io/ti/ny/tinycrate": json.dumps(entry).encode(),
        download: crate,
    }
    files = {
        "Cargo.toml": b'[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2018"\n'
        b'[dependencies]\ntinycrate = "1"\n',
        "src/lib.rs": b'#[test]\nfn greets() { assert_eq!(tinycrate::greeting(), "hello"); }\n',
    }
    said, asked = await fetched(
        tmp_path, "rust", world, files, "cargo fetch --quiet", "cargo test --quiet"
    )
    assert "test result: ok. 1 passed" in "\n".join(said)
    assert download in asked


@requires("mvn")
async def test_maven_fetches_what_a_project_stands_on(tmp_path: Path) -> None:
    at = "repo.maven.apache.org/maven2/com/example/tiny-parent/1.0/tiny-parent-1.0.pom"
    world = {at: PARENT, f"{at}.sha1": hashlib.sha1(PARENT).hexdigest().encode()}
    said, asked = await fetched(
        tmp_path, "java", world, {"pom.xml": POM}, "mvn -B -ntp -q validate", "echo ended $?"
    )
    assert "ended 0" in "".join(said)
    assert at in asked


@requires("npm")
@requires("c++")
@pytest.mark.skipif(
    not Path("/usr/include/node/node.h").exists(), reason="this Node came without its headers"
)
async def test_a_module_in_c_is_built_with_the_headers_that_are_here(tmp_path: Path) -> None:
    code = b"""#include <node_api.h>
static napi_value Init(napi_env env, napi_value exports) { return exports; }
NAPI_MODULE(tiny, Init)
"""
    files = {
        "package.json": b'{"name": "tiny", "version": "1.0.0"}',
        "binding.gyp": b"{'targets': [{'target_name': 'tiny', 'sources': ['tiny.c']}]}",
        "tiny.c": code,
    }
    recipe = find_recipes(Tree(frozenset(files), files))[0]
    load = "node -e 'require(\"./build/Release/tiny.node\")' && echo loaded"
    said, asked = await fetched(tmp_path, "npm", {}, files, recipe.setup, load)
    assert "loaded" in said, said
    assert not asked


@requires("npm")
async def test_npm_installs_where_only_peers_are_in_the_way(tmp_path: Path) -> None:
    package = {"name": "tinypkg", "version": "1.0.0"}
    page = {
        **package,
        "dist": {"tarball": f"https://{NPM.host}/tinypkg/-/tinypkg-1.0.0.tgz"},
    }
    world = {
        f"{NPM.host}/tinypkg": json.dumps(
            {"name": "tinypkg", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": page}}
        ).encode()
    }
    asks = {"name": "asks", "version": "1.0.0", "peerDependencies": {"tinypkg": "^1"}}
    older = {"name": "tinypkg", "version": "0.5.0"}
    files = {
        "asks.tgz": archive_of({"package/package.json": json.dumps(asks).encode()}),
        "older.tgz": archive_of({"package/package.json": json.dumps(older).encode()}),
        "package.json": json.dumps(
            {"dependencies": {"asks": "file:asks.tgz", "tinypkg": "file:older.tgz"}}
        ).encode(),
    }
    recipe = find_recipes(Tree(frozenset(files), files))[0]
    said, _ = await fetched(
        tmp_path, "npm", world, files, recipe.setup, "cat node_modules/tinypkg/package.json"
    )
    assert json.dumps(older) in "\n".join(said)
