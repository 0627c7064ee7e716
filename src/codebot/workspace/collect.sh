# Collects the agent's work in its own box, from a tree that may be in any state.
#
# Arguments: the base commit, the folder of the mirror's objects, and the service's own exceptions
# from conversions (there need not be any). Stdin: the message for what is not committed yet.
# Stdout: a bundle of the commits after the base, or nothing when the tree is as it was. GIT_DIR and
# GIT_WORK_TREE are set; the settings in the agent's .git apply, which is why this runs here and
# nowhere else.
#
# The work in the tree is what counts. The agent's commits are kept when they lead from the base to
# it: after a reset, an orphan branch or a merge half done, all of it becomes one commit.
set -eu
base=$1
objects=$2
exceptions=$3

is_usable() {
    [ -d .git ] && [ ! -L .git ] &&
        git rev-parse --verify "$base^{commit}" && git ls-files
} >/dev/null 2>&1

# Whatever is there as .git cannot be read (deleted, broken, a file that points elsewhere).
make_new() {
    rm -rf .git
    git init --quiet --template=
    mkdir -p .git/objects/info
    printf '%s\n' "$objects" >.git/objects/info/alternates
    [ ! -f "$objects/../shallow" ] || cp "$objects/../shallow" .git/shallow
    git update-ref HEAD "$base"
    git read-tree "$base"
    # What a submodule's .git led to went with it; without one, git takes it to be as recorded.
    git -c core.quotePath=false ls-files --stage | sed -n 's/^160000 [^	]*	//p' |
        while IFS= read -r submodule; do
            rm -f "$submodule/.git"
        done
}

# Git would wait for ever for somebody to write to a pipe, and can keep none of these in a commit.
find . ! -type f ! -type d ! -type l -exec rm -f {} + 2>/dev/null || :

if [ -d .git ] && [ ! -L .git ]; then  # locks of a git that was killed with the agent
    find .git -path .git/objects -prune -o -type f -name '*.lock' -exec rm -f {} +
fi
is_usable || make_new

# What git would rewrite by itself in an untouched checkout is none of the agent's work.
if [ -f "$exceptions" ]; then
    [ -d .git/info ] || rm -f .git/info
    mkdir -p .git/info
    rm -rf .git/info/attributes
    cp "$exceptions" .git/info/attributes
fi

git add --all
tree=$(git write-tree)
if [ "$tree" = "$(git rev-parse "$base^{tree}")" ]; then
    exit 0
fi

parent=$base
if head=$(git rev-parse --quiet --verify 'HEAD^{commit}') &&
    git merge-base --is-ancestor "$base" "$head"; then
    parent=$head
fi
if [ "$tree" != "$(git rev-parse "$parent^{tree}")" ]; then
    commit=$(git commit-tree "$tree" -p "$parent" -F -)
    git update-ref HEAD "$commit"
fi
git bundle create --quiet - HEAD "^$base" --
