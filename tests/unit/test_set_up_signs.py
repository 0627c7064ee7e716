"""What a set-up's output tells of its failure."""

import pytest

from codebot.environment.set_up_signs import doubt_in, gone_in, sign_in

NPM = """npm warn EBADENGINE Unsupported engine {
npm warn EBADENGINE   package: 'shop@1.0.0',
npm warn EBADENGINE   required: { node: '>=22.12.0' },
npm warn EBADENGINE   current: { node: 'v20.20.2', npm: '10.8.2' }
npm warn EBADENGINE }

added 3 packages in 1s
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "error: No interpreter found for Python >=3.14 in virtual environments or search path",
            "Python >=3.14 is not on this machine",
        ),
        (
            "Because the current Python version (3.11.2) does not satisfy\n  Python>=3.12 and a==1",
            "Python >=3.12 is not on this machine",
        ),
        (
            "Current Python version (3.11.2) is not allowed by the project (>=3.12).",
            "Python >=3.12 is not on this machine",
        ),
        ("Package 'a' requires a different Python: 3.11.2 not in '>=3.12'", "Python >=3.12 is"),
        ("incompatible with the project's Python requirement: `>=3.12`", "Python >=3.12 is"),
        ("src/a.c:3:10: fatal error: libpq-fe.h: No such file or directory\n", "libpq-fe.h"),
        ("  | Unable to find installation candidates for attrs (23.1.0)\n", "attrs (23.1.0)"),
        (
            "  \u00d7 Failed to build `a @ file:///workspace`\n  x\n",
            "Failed to build `a @ file:///",
        ),
        ("Resolved\nerror: Failed to download `a==7.0.0`\n", "Failed to download `a==7.0.0`"),
        (
            "/workspace/go.mod:3: invalid go version '1.22.2': must match format 1.23\n",
            "Go 1.22.2 is not on this machine",
        ),
        (
            "Error [ERR_UNKNOWN_BUILTIN_MODULE]: No such built-in module: node:sqlite\n",
            "a Node with node:sqlite is not on this machine",
        ),
        ("error: release version 21 not supported\n", "Java 21 is not on this machine"),
        ("  CMake 3.28 or higher is required.  You are\n", "CMake 3.28 is not on this machine"),
        (
            "failed to parse manifest\nfeature `edition2024` is required\n",
            "a Cargo that knows the edition 2024 is not on this machine",
        ),
        (
            "  body:\n  Codebot cannot fetch that. index.crates.io is not known here: it has no",
            "the registry index.crates.io cannot be reached from this machine",
        ),
        (
            "transfer failed for https://repo.example/maven2/a/a-1.pom, status: 502 Bad Gateway\n",
            "the registry repo.example cannot be reached from this machine",
        ),
        (
            "npm error 502 Bad Gateway - GET https://registry.example/a - cannot be reached\n",
            "the registry registry.example cannot be reached from this machine",
        ),
        (
            "a.c:1:10: fatal error: openssl/ssl.h: No such file or directory\n",
            "the header openssl/ssl.h is not on this machine",
        ),
        ("configure: error: libpcre2 is missing.\n", "its configure says: libpcre2 is missing"),
        (
            "CMake Error at /usr/share/cmake/FindX.cmake:230 (message):\n  Could NOT find OpenSSL,",
            "CMake does not find OpenSSL on this machine",
        ),
        (
            'meson.build:9:0: ERROR: Dependency "glib-2.0" not found, tried pkgconfig\n',
            "Meson does not find glib-2.0 on this machine",
        ),
        ("ERROR: Could not find a version that satisfies the requirement a==9\n", "a==9"),
        ("all is well\nthe error: is elsewhere\n", ""),
    ],
)
def test_a_reason_that_is_known_is_named(output: str, reason: str) -> None:
    told = sign_in(output)
    assert reason in told
    assert bool(told) == bool(reason)


@pytest.mark.parametrize(
    ("output", "doubt"),
    [
        (NPM, "shop@1.0.0 asks for Node >=22.12.0, and another one is here"),
        (
            'WARN  Unsupported engine: wanted: {"node":">=22"} (current: {"node":"v20.2.0"})\n',
            "asks for Node >=22, and another one is here",
        ),
        (
            'a@2.0.0: The engine "node" is incompatible with this module. Expected version ">=22".',
            "a@2.0.0 asks for Node >=22, and another one is here",
        ),
        ("added 3 packages in 1s\n", ""),
    ],
)
def test_packages_that_are_for_another_node_are_a_doubt(output: str, doubt: str) -> None:
    assert doubt_in(output).endswith(doubt)
    assert bool(doubt_in(output)) == bool(doubt)


@pytest.mark.parametrize(
    ("output", "package"),
    [
        (
            (
                " ERR_PNPM_FETCH_404  GET https://registry.example/nope-id: Not Found - 404\n\n"
                "This error happened while installing a direct dependency of /workspace\n\n"
                "nope-id is not in the npm registry, or you have no permission to fetch it.\n"
            ),
            "nope-id",
        ),
        ("npm error 404  'nope-id@^1.0.0' is not in this registry.\n", "nope-id@^1.0.0"),
        ('error Couldn\'t find package "nope-id" on the "npm" registry.\n', "nope-id"),
        ('error Couldn\'t find package "a" required by "b@1" on the "npm" registry.\n', "a"),
        ("  Because nope-id was not found in the package registry and you\n", "nope-id"),
        ("ERROR: No matching distribution found for nope-id==9 (from x)\n", "nope-id==9"),
        ("added 3 packages in 1s\n", ""),
    ],
)
def test_a_package_that_its_registry_does_not_have_is_named(output: str, package: str) -> None:
    told = gone_in(f"{NPM}{output}")
    assert told == (f"its registry has no {package}" if package else "")
