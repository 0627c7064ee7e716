"""The reference page of the settings, made from the table that the program itself reads."""

from codebot.settings.table import FILE_VARIABLES, SETTINGS, Setting


def settings_reference() -> str:
    """Give every setting as a table in Markdown."""
    rows = "\n".join(_row(setting) for setting in SETTINGS)
    return f"| Variable | Default | Flag | |\n|---|---|---|---|\n{rows}\n"


def _row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default else "-"
    flag = f"`{setting.flag}`" if setting.flag else ""
    doc = setting.doc.replace("|", "\\|")
    if setting.secret:
        doc += f" Also as {' or '.join(f'`{name}`' for name in FILE_VARIABLES[setting.name])}."
    if setting.later:
        doc += f" *No effect yet: waits for {setting.later}.*"
    return f"| `{setting.name}` | {default} | {flag} | {doc} |"
