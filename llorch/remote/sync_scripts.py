"""The scripts that `sync` runs on a host, in a repository there. Nothing of the user's is ever part of their text.

Below `refs/llorch/sync` of a repository there: `head`, what was brought last; `changes`, the same with uncommitted
changes; `incoming`, what is coming. Below `refs/llorch/backup/MOMENT`: what was taken away.
"""

from llorch.remote.command import EXPAND, FOLDER, LOCK
from llorch.remote.facts import PUT
from llorch.remote.there import BEGIN, READY

_GIT = r"""
LC_ALL=C GIT_TERMINAL_PROMPT=0 SSH_ASKPASS_REQUIRE=never GIT_LITERAL_PATHSPECS=1
GIT_SSH_COMMAND=${GIT_SSH_COMMAND:-ssh -o BatchMode=yes -o ConnectTimeout=10}
export LC_ALL GIT_TERMINAL_PROMPT SSH_ASKPASS_REQUIRE GIT_LITERAL_PATHSPECS GIT_SSH_COMMAND
git() { command git -c gc.auto=0 -c maintenance.auto=false -c core.hooksPath=/dev/null -c core.safecrlf=false "$@"; }
id() { git rev-parse -q --verify "$1"; }
"""
"""Has git ask nobody, begin no work in the background, and run no hook.

One that fails would end the script on the way, and what is checked out there for a moment is not what it is for.
"""
_IN = FOLDER + BEGIN + PUT + _GIT
_SIGNALS = r"""
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM
"""
"""Has a signal end the script as `exit` does: a trap on EXIT alone is not called for one by every sh."""
_OWN = (
    _SIGNALS
    + r"""
own=
trap '[ -z "$own" ] || rm -rf -- "$own"' EXIT
own() {
  own=$(git rev-parse --git-path llorch-sync) || exit
  find "$(dirname -- "$own")" -maxdepth 1 -name 'llorch-sync.??????' -type d -mtime +0 -exec rm -rf {} +
  own=$(mktemp -d "$own.XXXXXX") || exit 1
}
"""
)
"""Defines what makes a folder of this script's own, which it removes; a day later, that of one that could not."""


def _locked(text: str) -> str:
    """Return a script that no other sync changes the repository beside.

    The lock is not passed on to what git leaves in the background.
    """
    return (
        _IN
        + _OWN
        + LOCK
        + r"""
place=$(git rev-parse --git-path llorch-sync.lock) && exec 8>>"$place" || exit
lock || { [ $? != 1 ] || echo "another sync has the lock" >&2; exit 1; }
{
"""
        + text
        + "\n} 8>&-"
    )


LOOK = (
    EXPAND
    + BEGIN
    + PUT
    + _GIT
    + r"""
cd -- "$folder" 2>/dev/null || exit 0
put folder "$(pwd)"
if ! [ -e .git ]; then
  for each in * .[!.]* ..?*; do
    if [ -e "$each" ] || [ -L "$each" ]; then put files yes; break; fi
  done
  exit 0
fi
own=$(git rev-parse --git-dir) && cd "$own" || exit
put repository yes
put head "$(id HEAD)"
put branch "$(git symbolic-ref -q --short HEAD)"
put changes "$(id refs/llorch/sync/changes)"
put refs "$(git for-each-ref --format='%(objectname)')"
for each in MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD BISECT_LOG rebase-merge rebase-apply; do
  if [ -e "$each" ]; then put operation "$each"; fi
done
"""
)
"""Tells what is in a folder, and if it is a repository, what it has."""

INIT = (
    EXPAND
    + BEGIN
    + PUT
    + _GIT
    + _SIGNALS
    + LOCK
    + r"""
git --version >/dev/null || exit
for each in "$folder".??????; do
  if [ -f "$each/llorch-sync.lock" ] &&
    (exec 8>>"$each/llorch-sync.lock" && lock && rm -rf -- "$each") 2>/dev/null
  then put removed "$each"
  fi
done
made=
trap '[ -z "$made" ] || rm -rf -- "$made" || { sleep 2; rm -rf -- "$made"; }' EXIT
mkdir -p -- "$(dirname -- "$folder")" && made=$(mktemp -d -- "$folder.XXXXXX") || exit 1
exec 8>>"$made/llorch-sync.lock"
lock || exit
git init -q -- "$made/${made##*/}" >&2 || exit
put made "$made"
"""
    + READY
)
"""Makes a folder of this run's own beside the place of a repository, and in it an empty one of the folder's name.

It removes it in the end, and before that what others have left that the end has not come for, as when a machine goes
off: nobody holds their locks.
"""

# `mv` moves it into what another sync has put there just now. Nobody else knows its name, so it is known by that.
PLACE = (
    EXPAND
    + BEGIN
    + PUT
    + r"""
made=$1 name=${1##*/}
busy() { put busy yes; exit 0; }
if [ -d "$folder" ] && ! rmdir -- "$folder"; then
  [ ! -e "$folder/.git" ] || busy
  exit 1
fi
mv -- "$made/$name" "$folder" || exit
if [ -e "$folder/$name/.git" ]; then
  mv -- "$folder/$name" "$made" || exit
  busy
fi
"""
)
"""Puts it in its place, where nothing is, or an empty folder; tells if another repository has come there meanwhile."""

FETCH = (
    _IN
    + _OWN
    + r"""
own
cat >"$own/bundle" &&
git fetch -q --no-tags --no-recurse-submodules -- "$own/bundle" "+$1:refs/llorch/sync/incoming" >&2
"""
)
"""Takes commits from a bundle that it reads."""

# `changes` is set if what differs from HEAD may be what was brought before. `way` names files that git does not track,
# ignored or not, where a commit has something else.
_STATE = r"""
target=$1 final=$2 branch=$3
shift 3
alone=--ignore-submodules=all
own
index=$own/index
head=$(id HEAD)
changes=$(id refs/llorch/sync/changes) && [ "$(id "$changes^")" = "$head" ] && git diff --cached --quiet $alone ||
  changes=
way() {
  base=${changes:-$head}
  if [ -n "$base" ]; then git diff --name-only -z --no-renames --diff-filter=A $alone "$base" "$final" --
  else git ls-tree -r -z --name-only "$final"
  fi | xargs -0 sh -c '
    for each do
      shift
      if [ -e "$each" ] || [ -L "$each" ]; then set -- "$@" "$each"; fi
    done
    [ $# = 0 ] || git ls-files -o -z -- "$@"' sh
}
"""

LOSSES = (
    _IN
    + _OWN
    + _STATE
    + r"""
list() {
  xargs -0 sh -c 'kind=$1; shift; for each do printf "%s\0%s\0" "$kind" "$each"; done' sh "$1"
}
if [ -n "$changes" ]; then
  put ours "$changes"
  GIT_INDEX_FILE=$index
  export GIT_INDEX_FILE
  git read-tree "$changes"
  git update-index -q --refresh >/dev/null
  git diff-files --name-only -z $alone | list change
  rm -f -- "$index"
  unset GIT_INDEX_FILE
elif [ -n "$head" ]; then
  changed() { for cached in '' --cached; do git diff $cached --name-only -z --no-renames $alone HEAD --; done; }
  if [ "$final" != "$target" ] || ! changed | xargs -0 sh -c '
      final=$1; shift; [ $# = 0 ] || git diff --quiet HEAD "$final" -- "$@"' sh "$final"
  then changed | list change
  fi
else
  git ls-files -z | list change
fi
way | list file
[ -z "$branch" ] || ! id "refs/heads/$branch" >/dev/null || set -- "refs/heads/$branch"
git symbolic-ref -q HEAD >/dev/null || set -- "$@" HEAD
[ $# != 0 ] || exit 0
set -- "$@" --not "$target" --remotes --tags
[ -z "$branch" ] || set -- "$@" "--exclude=$branch"
set -- "$@" --branches
! id refs/llorch/sync/head >/dev/null || set -- "$@" refs/llorch/sync/head
git log --format='%h %s' "$@" -- | while IFS= read -r each; do put commit "$each"; done
"""
)
"""Tells what would be lost if the work tree became that of a commit: changes, files in the way, and commits.

Changes of files that the commit has as they are stay; uncommitted ones are only brought to a clean work tree.
"""

# Commits like those of git-stash(1), with the files that git does not track as third parent.
_KEEP = r"""
keep() {
  ref=refs/llorch/backup/$1
  shift
  for each in GIT_AUTHOR GIT_COMMITTER; do
    export "${each}_NAME=llorch" "${each}_EMAIL=llorch@localhost"
  done
  if [ -n "$branch" ] && old=$(id "refs/heads/$branch"); then
    git update-ref "$ref/branch" "$old" || return
    put old "$old"
  fi
  [ -n "$head" ] || return 0
  git update-ref "$ref/head" "$head" && kept=$(git stash create) || return
  tree=$(id "${kept:-$head}^{tree}")
  if [ -n "$kept" ]; then staged=$(id "$kept^2"); else staged=$(git commit-tree -p "$head" -m Index "$tree"); fi
  rm -f -- "$index"
  way | GIT_INDEX_FILE=$index command git -c core.safecrlf=false update-index --add -z --stdin || return
  if [ -e "$index" ]; then
    files=$(GIT_INDEX_FILE=$index command git write-tree) && set -- -p "$(git commit-tree -m Files "$files")"
    rm -f -- "$index"
  fi
  [ -n "$kept$*" ] || return 0
  kept=$(git commit-tree -p "$head" -p "$staged" "$@" -m "What was there before llorch changed it" "$tree") &&
  git update-ref "$ref/changes" "$kept" &&
  put kept "$ref/changes"
}
"""

# The lock comes before the state, which another sync would change.
MOVE = _locked(
    _STATE
    + _KEEP
    + r"""
expected=$1 moment=$2
set -- --no-overwrite-ignore
if [ "$head" != "$expected" ]; then
  who=
  [ "$head" != "$(id refs/llorch/sync/head)" ] || who=", by another sync"
  echo "HEAD has moved meanwhile$who" >&2
  exit 1
fi
if [ -n "$moment" ]; then
  keep "$moment" || exit
  set -- --force
fi
if [ -n "$changes" ]; then
  git diff --name-only -z --no-renames --diff-filter=A $alone HEAD "$changes" -- | xargs -0 rm -f --
  set -- --force
fi
git update-ref refs/llorch/sync/head "$target" || exit
[ "$final" = "$target" ] || git update-ref refs/llorch/sync/changes "$final" || exit
git checkout -q "$@" --detach "$final" >&2 || exit
if [ -n "$branch" ]; then
  git branch -q -f --no-track "$branch" "$target" >&2 && git symbolic-ref HEAD "refs/heads/$branch" || exit
fi
if [ "$final" = "$target" ]; then git update-ref -d refs/llorch/sync/changes; else git reset -q "$target"; fi
git update-ref -d refs/llorch/sync/incoming
"""
)
"""Makes the work tree that of a commit, keeping first what would be lost, if a moment is given to name it by."""

ORIGIN = _IN + r'git remote add origin "$1" >&2'
"""Names where a new repository comes from."""
UPDATE = _locked(r'git submodule --quiet update --init -- "$1" >&2')
"""Has git there get a submodule."""
GRAFT = _locked(r'git submodule --quiet init -- "$1" >&2 && git init -q -- "$1" >&2')
"""Makes an empty repository of a submodule."""
ABSORB = _locked(r'git submodule absorbgitdirs -- "$1" 2>&1 >/dev/null')
"""Has the superproject keep a submodule's repository, as git does with those that it clones."""
