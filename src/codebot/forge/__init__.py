"""Where repositories live and pull requests are opened: GitHub, or a folder of this machine."""
