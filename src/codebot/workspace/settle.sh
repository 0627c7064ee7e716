# Makes a layer of a place in which a set-up ran: what is there beside the commit stays.
#
# Stdout: the paths that the repository does not ignore, each ended by NUL.
set -eu
git reset --quiet --hard
git ls-files --others --exclude-standard --directory --no-empty-directory -z
git ls-files -z | xargs -0 -r rm -rf --  # a submodule is a folder
rm -rf .git "$HOME/.cache/uv" "$HOME/.cache/pip" "$HOME/.npm/_cacache"
