"""What a box may do to the layers that show through below its folders: nothing. By everybody."""

from collections.abc import Callable
from typing import Any

import pytest

from hostile.judge import judged
from hostile.variants import USERS, Variant

VariantOf = Callable[[str], Variant]
MANY = 20

as_everybody = pytest.mark.parametrize("user", USERS)

READ = "cat folder/file other 2>&1; cat ~/attempts/__init__.py | head -c 3"


def over(variant: Variant, script: str, **more: Any) -> dict[str, Any]:
    """Run a script over layers, which must be as they were, and leave nothing beside them."""
    told = variant.ask("over_layers", script=script, **more)
    assert told["whole"], "a box changed a layer"
    assert told["left"] == []
    return told


@as_everybody
def test_a_box_with_layers_holds_all_that_others_hold(variant_of: VariantOf, user: str) -> None:
    variant = variant_of(user)
    assert judged(variant.ask("inside", layered=True), variant.told) == {}


@as_everybody
def test_a_box_sees_its_layers_and_what_it_wrote_over_them_before(
    variant_of: VariantOf, user: str
) -> None:
    script = f"{READ}; echo mine >> folder/file; rm other; mkdir -p new; mv new newer"
    told = over(variant_of(user), script)
    assert told["said"].startswith("of the layeranother")
    assert told["again"].startswith("of the layermine\ncat: other: No such file")


WAYS_INTO_A_LAYER = """
chmod -R 777 . ; touch -d 2001-01-01 folder/file other
ln other hard; echo poison > hard; echo poison > folder/file
python3 - <<'END'
import os
for name in (".", "folder", "folder/file", "other"):
    for kind in ("trusted", "user", "security"):
        for what in ("overlay.redirect", "overlay.opaque", "overlay.metacopy", "overlay.origin"):
            try: os.setxattr(name, f"{kind}.{what}", b"/")
            except OSError: pass
for name in ("w1", "folder/w2"):
    try: os.mknod(name, 0o20666, 0)
    except OSError: pass
os.truncate("other", 0)
os.rename("other", "elsewhere")
END
rm -rf folder ~/attempts; mkdir folder; mkdir -p ~/attempts; echo poison > folder/file
"""


@as_everybody
def test_whatever_a_box_does_to_its_files_its_layers_stay_as_they_were(
    variant_of: VariantOf, user: str
) -> None:
    told = over(variant_of(user), WAYS_INTO_A_LAYER)
    assert told["said"].endswith("exited 0")


PLANTED = """
mkdir -p redirected up opaque; : > folder-link; touch copied empty
ln -s / root; ln -s "$PWD/.." folder; ln -s /proc/1/root other
python3 - <<'END'
import os
def mark(name, what, value):
    for kind in ("user", "trusted"):
        try: os.setxattr(name, f"{kind}.overlay.{what}", value)
        except OSError: pass
mark("redirected", "redirect", b"/../../../../../../../../etc")
mark("up", "redirect", b"../home")
mark("copied", "metacopy", b"")
mark("copied", "redirect", b"/../secret")
mark("empty", "metacopy", bytes(8))
mark("opaque", "opaque", b"y")
mark(".", "redirect", b"/..")
END
"""
LOOK = """
for name in redirected up copied empty opaque root folder other .; do
    ls -la "$name" "$name/" "$name/.." 2>/dev/null | grep -E 'secret|shadow|home-layer|\\.scratch'
    cat "$name" 2>/dev/null | head -c 100
done
cat root/etc/shadow root/"$SECRET" other/"$SECRET" redirected/shadow 2>/dev/null; echo done
"""


@as_everybody
def test_marks_that_an_earlier_box_planted_lead_nowhere(variant_of: VariantOf, user: str) -> None:
    """An agent may set `user.overlay.*` on a plain folder that later has layers below it."""
    told = over(variant_of(user), LOOK, plant=PLANTED)
    assert (told["said"], told["again"]) == ("done\nexited 0",) * 2


@as_everybody
def test_boxes_with_layers_leave_no_mount_and_no_scratch_folder(
    variant_of: VariantOf, user: str
) -> None:
    told = variant_of(user).ask("at_once", count=MANY, layered=True)
    assert (told["up"], told["living"]) == (MANY, [])
    assert told["after"] == told["before"]


@as_everybody
@pytest.mark.parametrize("name", ["disk in big files", "disk in files that are deleted"])
def test_what_is_written_over_layers_counts(variant_of: VariantOf, user: str, name: str) -> None:
    told = variant_of(user).ask("greedy", name=name, layered=True)
    assert told["reason"] == "disk"
