# Collects the agent's work in its own box, from a tree that may be in any state.
#
# Arguments: the base commit, the folder of the mirror's objects, the service's own exceptions from
# conversions (there need not be any), and the sed program that knows what tools leave behind.
# Stdin: the message for what is not committed yet. Stdout: a bundle of the commits after the base,
# or nothing when the tree is as it was. The last lines of stderr name what is left out. GIT_DIR and
# GIT_WORK_TREE are set; the settings in the agent's .git apply, which is why this runs here and
# nowhere else.
#
# The work in the tree is what counts. The agent's commits are kept when they lead from the base to
# it: after a reset, an orphan branch or a merge half done, all of it becomes one commit.
set -eu
base=$1
objects=$2
exceptions=$3
artefacts=$4
left_out=.git/codebot-left-out

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

# Says whether git has the very files of the base, of which it makes another tree all the same: one
# that nobody checked may have an entry twice.
is_untouched() (
    [ -e "$objects/../unchecked" ] || exit
    files=$(git ls-files --stage -z | cksum)
    export GIT_INDEX_FILE=.git/codebot-untouched
    rm -rf "$GIT_INDEX_FILE"
    git read-tree "$base"
    [ "$files" = "$(git ls-files --stage -z | cksum)" ]
)

# Lists the marks of tools among all that is new, by the paths that are theirs. What .gitignore
# names is not new. A path with a line feed in it is none of a tool's.
find_marks() {
    {
        git ls-files -z --others --exclude-standard
        git diff-index -z --cached --name-only --no-renames --diff-filter=A "$base"
    } | tr '\n\0' '\001\n' | sed -nE -e "/$(printf '\001')/d" -e "$artefacts" | sort -u
}

# Of these, lists the outermost paths of which the base has nothing. What was committed although
# .gitignore names it was meant.
judge_marks() {
    while IFS= read -r found; do
        case $found in *//*) [ -e "${found#*//}" ] || continue ;; esac
        printf '%s/\n' "${found%%//*}"
    done | sort -u |
        awk 'kept == "" || index($0, kept) != 1 { kept = $0; sub("/$", ""); print }' |
        sed "s|^|$base:|" | git cat-file --batch-check | sed -n "s|^$base:\(.*\) missing\$|\1|p" |
        {
            git -c core.quotePath=false check-ignore --no-index --verbose --non-matching --stdin || :
        } | sed -n 's/^::\t\([^"]\)/\1/p'
}

# Makes each commit of the agent's anew without what is left out; one that held nothing else goes.
renew_commits() {
    new=$(mktemp -d)
    for commit in $(git rev-list --reverse --topo-order HEAD --not "$base" --alternate-refs); do
        GIT_INDEX_FILE=$new/index git read-tree "$commit"
        GIT_INDEX_FILE=$new/index forget
        tree=$(GIT_INDEX_FILE=$new/index git write-tree)
        parents=
        for parent in $(git rev-parse "$commit^@"); do
            parents="$parents $(cat "$new/$parent" 2>/dev/null || echo "$parent")"
        done
        if [ "$tree$parents" = "$(git show --no-patch --format='%T %P' "$commit")" ]; then
            continue
        elif [ "$tree" = "$(git rev-parse --quiet --verify "${parents# }^{tree}")" ]; then
            echo "${parents# }" >"$new/$commit"
        else
            time=$(git show --no-patch --format=%ct "$commit")
            # shellcheck disable=SC2046,SC2086
            git show --no-patch --format=%B "$commit" |
                GIT_AUTHOR_DATE="@$time" GIT_COMMITTER_DATE="@$time" \
                    git commit-tree "$tree" $(printf -- ' -p %s' $parents) -F - >"$new/$commit"
        fi
    done
    git update-ref HEAD "$(cat "$new/$head" 2>/dev/null || echo "$head")"
    rm -rf "$new"
}

# Takes out of the index what is left out.
forget() {
    git ls-files -z --cached --ignored --exclude-from="$left_out" |
        git update-index -z --force-remove --stdin
}

# The agent's own git leaves it alone from now on, too, and nobody takes it for left over by tests.
leave_out() {
    exclude=.git/info/exclude
    mark='# What tools left in the tree: Codebot takes none of it'
    [ -d .git/info ] || rm -f .git/info
    mkdir -p .git/info
    if grep -q "^$mark" "$exclude" 2>/dev/null; then  # what was left out before is judged anew
        others=$(sed "/^$mark/,\$d" "$exclude")
        rm -rf "$exclude"
        printf '%s\n' "$others" >"$exclude"
    fi
    rm -rf "$left_out" "$left_out.marks" "$left_out.paths"
    find_marks >"$left_out.marks"
    [ ! -s "$left_out.marks" ] || judge_marks <"$left_out.marks" >"$left_out.paths"
    [ -s "$left_out.paths" ] || return 0
    sed -e 's/[][\\*?]/\\&/g' -e 's/ $/\\ /' -e 's|^|/|' "$left_out.paths" >"$left_out"
    { echo "$mark" && cat "$left_out"; } >>"$exclude"
    if leads_on; then
        renew_commits
    fi
    forget
}

leads_on() {
    head=$(git rev-parse --quiet --verify 'HEAD^{commit}') &&
        git merge-base --is-ancestor "$base" "$head"
}

say_what_is_left_out() {
    if [ -s "$left_out.paths" ]; then
        sed -n '1,20s/^\(.\{1,200\}\).*/left out: \1/p' "$left_out.paths" >&2
    fi
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

leave_out
git add --all
tree=$(git write-tree)
if [ "$tree" = "$(git rev-parse "$base^{tree}")" ] || is_untouched; then
    say_what_is_left_out
    exit 0
fi

parent=$base
if leads_on; then
    parent=$head
fi
if [ "$tree" != "$(git rev-parse "$parent^{tree}")" ]; then
    commit=$(git commit-tree "$tree" -p "$parent" -F -)
    git update-ref HEAD "$commit"
fi
git bundle create --quiet - HEAD "^$base" --
say_what_is_left_out
