# Takes what a set-up left, and the repository does not ignore, out of the agent's work, in its box.
#
# Stdin: a line of .gitignore for each path.
set -eu
mkdir -p .git/info
cat >>.git/info/exclude
