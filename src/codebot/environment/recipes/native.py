"""Programs that are built: outside of the tree where their tool can, so that it stays clean."""

from collections.abc import Iterator

from codebot.environment.recipes.clues import Clues
from codebot.environment.recipes.guess import Family, Guess, guess
from codebot.environment.recipes.python_locked import TOOLS, install_tool

BUILD = '"$HOME/build"'
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
CONFIGURE = f'top=$PWD\nmkdir -p {BUILD}\ncd {BUILD}\n"$top/configure"\ncd "$top"'


def cmake(clues: Clues) -> Iterator[Guess]:
    """Guess of `CMakeLists.txt`."""
    if clues.has("CMakeLists.txt"):
        configure = f"cmake -S . -B {BUILD} -DBUILD_TESTING=ON"
        yield guess(
            Family.NATIVE,
            "CMakeLists.txt",
            f"{configure}\ncmake --build {BUILD} --parallel",
            usual_test=f"{configure} && cmake --build {BUILD} --parallel"
            f" && ctest --test-dir {BUILD} --output-on-failure",
            keys=("CMakeLists.txt",),
            builds=True,
            programs=("cmake", "make", "cc"),
        )


def meson(clues: Clues) -> Iterator[Guess]:
    """Guess of `meson.build`."""
    if clues.has("meson.build"):
        yield guess(
            Family.NATIVE,
            "meson.build",
            "command -v meson >/dev/null || " + install_tool("meson") + "\n"
            "command -v ninja >/dev/null || " + install_tool("ninja") + "\n"
            f"meson setup {BUILD}\nmeson compile -C {BUILD}",
            usual_test=f"meson test -C {BUILD} --print-errorlogs",
            bin_=(TOOLS,),
            keys=clues.those("meson.build", "meson_options.txt", "meson.options"),
            builds=True,
            programs=("uv", "cc"),
        )


def autotools(clues: Clues) -> Iterator[Guess]:
    """Guess of `configure`, and of `configure.ac`, which makes one."""
    made = clues.has("configure")
    if not made and not clues.has("configure.ac"):
        return
    yield guess(
        Family.NATIVE,
        "configure" if made else "configure.ac",
        ("" if made else "autoreconf --force --install\n") + f"{CONFIGURE}\nmake -C {BUILD}",
        usual_test=f"make -C {BUILD} check",
        keys=clues.those("configure", "configure.ac", "Makefile.am"),
        builds=True,
        programs=("make", "cc") if made else ("autoreconf", "make", "cc"),
    )


def plain_make(clues: Clues) -> Iterator[Guess]:
    """Guess of a makefile alone: there is nothing to prepare."""
    found = clues.those(*MAKEFILES)
    if found:
        yield guess(Family.NATIVE, found[0], "", programs=("make",))
