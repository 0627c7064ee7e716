"""What bwrap is told, word by word where a word matters."""

from dataclasses import replace

from codebot.sandbox.arguments import Shown, View, box_parts, words

VIEW = View(
    workspace="/srv/tree",
    home="/srv/home",
    shown=(Shown("/data/mirror", "/data/mirror"),),
    env={"HOME": "/home/agent"},
    files={"/run/shim": 7},
    filter=8,
    tmp_bytes=1000,
    python="/usr/bin/python3",
)


def position(*run: str, view: View = VIEW) -> int:
    """Say where a run of words stands; it must be there."""
    told = words(box_parts(view))
    found = [n for n in range(len(told)) if told[n : n + len(run)] == list(run)]
    assert len(found) == 1, (run, told)
    return found[0]


def test_every_namespace_is_asked_for_by_name() -> None:
    for kind in ("user", "ipc", "pid", "net", "uts", "cgroup-try"):
        position(f"--unshare-{kind}")


def test_every_part_has_a_name_of_its_own() -> None:
    names = [part.name for part in box_parts(VIEW)]
    assert len(names) == len(set(names))


def test_only_workspace_and_home_can_be_written_on_disk() -> None:
    told = words(box_parts(VIEW))
    binds = [tuple(told[n + 1 : n + 3]) for n, word in enumerate(told) if word == "--bind"]
    assert binds == [("/srv/home", "/home/agent"), ("/srv/tree", "/workspace")]


def test_the_root_is_sealed_after_everything_is_in_it() -> None:
    told = words(box_parts(VIEW))
    assert told[-2:] == ["--remount-ro", "/"]
    assert position("--remount-ro", "/run") > position("--perms", "0444", "--file", "7")


def test_kernel_parameters_are_covered_after_proc_is_there() -> None:
    assert position("--ro-bind", "/proc/sys", "/proc/sys") > position("--proc", "/proc")


def test_what_is_shown_lies_above_the_memory_file_systems() -> None:
    view = replace(VIEW, shown=(Shown("/tmp/mirror", "/tmp/mirror"),))
    mirror = position("--ro-bind", "/tmp/mirror", "/tmp/mirror", view=view)
    assert mirror > position("--tmpfs", "/tmp", view=view)


def test_no_secret_folder_of_etc_is_shown() -> None:
    told = words(box_parts(VIEW))
    sources = [told[n + 1] for n, word in enumerate(told) if "bind" in word]
    assert "/etc/ssl/certs" in sources
    for hidden in (
        *("/etc", "/etc/ssl", "/etc/passwd", "/etc/shadow", "/etc/ssh", "/etc/machine-id"),
        *("/root", "/home", "/var", "/var/lib", "/sys", "/sys/class"),
    ):
        assert hidden not in sources
