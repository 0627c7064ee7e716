from fakes.console_blocks import Step, read_steps

PAGE = """
# A page

```console
$ echo one \\
    two
one two
$ cat > file <<'END'
$not a command
END
$ python3 -c '
print(1)
'
1
```

```console manual
$ sudo reboot
```

```console fails
$ true
$ false
```

```sh
$ not a console
```
"""


def test_a_command_takes_the_lines_that_the_shell_wants() -> None:
    assert read_steps(PAGE) == [
        Step(5, "echo one \\\n    two", ("one two",), fails=False),
        Step(8, "cat > file <<'END'\n$not a command\nEND", (), fails=False),
        Step(11, "python3 -c '\nprint(1)\n'", ("1",), fails=False),
        Step(22, "true", (), fails=False),
        Step(23, "false", (), fails=True),
    ]
