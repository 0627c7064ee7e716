# Copies a layer into the workspace of an agent, in its box.
#
# Arguments: the layer's folders for the tree and for HOME. Nothing of the commit's own is in a
# layer, so that nothing is overwritten; what it brings that the repository does not ignore (stdin,
# a line of .gitignore each) is none of the agent's work.
set -eu
cp -a --reflink=auto "$1/." .
cp -a --reflink=auto "$2/." "$HOME/"
mkdir -p .git/info
cat >>.git/info/exclude
