"""Cut GitHub's description of its API down to the operations that Codebot uses.

Get the description from npm, outside of this repository, and name its folder:

    npm pack @octokit/openapi && tar xzf octokit-openapi-*.tgz
    python tests/data/github/prune.py package

Beside the two descriptions it writes `source.json`: which package, version and hash they are from.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FLAVOURS = ("api.github.com", "ghes-3.19")
OPERATIONS = (
    ("/app", "get"),
    ("/app/installations", "get"),
    ("/app/installations/{installation_id}", "get"),
    ("/app/installations/{installation_id}/access_tokens", "post"),
    ("/repos/{owner}/{repo}/installation", "get"),
    ("/repos/{owner}/{repo}", "get"),
    ("/repos/{owner}/{repo}/pulls", "get"),
    ("/repos/{owner}/{repo}/pulls", "post"),
    ("/user", "get"),
    ("/users/{username}", "get"),
)
USELESS = {"description", "summary", "externalDocs", "example", "examples", "tags", "x-github"}


def main(package: Path) -> None:
    """Write the pruned descriptions of every flavour beside this file."""
    manifest = json.loads((package / "package.json").read_text())
    source: dict[str, Any] = {
        "package": manifest["name"],
        "version": manifest["version"],
        "license": manifest["license"],
        "sha256": {},
    }
    for flavour in FLAVOURS:
        whole = (package / "generated" / f"{flavour}.json").read_bytes()
        source["sha256"][flavour] = hashlib.sha256(whole).hexdigest()
        write(HERE / f"{flavour}.json", prune(json.loads(whole)))
    write(HERE / "source.json", source)


def prune(description: dict[str, Any]) -> dict[str, Any]:
    """Keep the operations, and of the components what they reach."""
    paths: dict[str, Any] = {}
    for path, method in OPERATIONS:
        paths.setdefault(path, {})[method] = without_prose(description["paths"][path][method])
    components: dict[str, Any] = {}
    pending = list(references(paths))
    while pending:
        kind, name = pending.pop()
        kept = components.setdefault(kind, {})
        if name not in kept:
            kept[name] = without_prose(description["components"][kind][name])
            pending.extend(references(kept[name]))
    info = {"title": description["info"]["title"], "version": description["info"]["version"]}
    return {
        "openapi": description["openapi"],
        "info": info,
        "paths": paths,
        "components": components,
    }


def references(node: Any):  # noqa: ANN201
    """Give every component that a part of the description refers to."""
    if isinstance(node, dict):
        if isinstance(target := node.get("$ref"), str):
            _, _, kind, name = target.split("/")
            yield kind, name
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def without_prose(node: Any, *, names: bool = False) -> Any:
    """Drop what is for readers; under `properties` the keys are names, and all of them stay."""
    if isinstance(node, list):
        return [without_prose(value) for value in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: without_prose(value, names=key == "properties")
        for key, value in node.items()
        if names or key not in USELESS
    }
    if "description" in node and not kept.keys() - {"content", "headers"}:
        kept["description"] = ""  # a response is not valid without one
    return kept


def write(path: Path, content: Any) -> None:
    """Write JSON that differs only where the content does."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
