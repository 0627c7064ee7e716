# Makes a layer of a place in which a set-up ran: what is there beside the commit stays.
#
# Arguments: the commit; the paths of the submodules that were brought, the inner ones first; what was
# built in one of them stays as well. Stdout: the paths that the repository does not ignore, each ended
# by NUL.
set -eu
git reset --quiet "$1" --  # what the set-up has staged or committed is beside the commit
git reset --quiet --hard
shift
git ls-files --others --exclude-standard --directory --no-empty-directory -z
empty() (
    cd "$1"
    git reset --quiet --hard
    git ls-files --stage -z | sed -z '/^160000 /d; s/^[^\t]*\t//' | xargs -0 -r rm -f --
    rm -f .git
)
for path do
    [ ! -e "$path/.git" ] || empty "$path" >&2
    shift
    set -- "$@" ":(exclude,literal)$path"
done
git ls-files -z -- . "$@" | xargs -0 -r rm -rf --  # a submodule that was not brought is a folder
rm -rf .git "$HOME/.cache/uv" "$HOME/.cache/pip" "$HOME/.npm/_cacache"
