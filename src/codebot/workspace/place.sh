# Fills an empty place in its own box: what a set-up left, a commit over it, and its submodules.
#
# Arguments: the commit; the folders of a layer for the tree and for HOME, or ""; the folder of the
# submodules, or "". The layer comes first, so that where a change brings a file of a name that
# set-up used, the change's is there.
set -eu
[ -z "$2" ] || cp -a --reflink=auto "$2/." .
[ -z "$3" ] || cp -a --reflink=auto "$3/." "$HOME/"
git reset --quiet --hard "$1"
[ -z "$4" ] || cp -a --reflink=auto "$4/." .
