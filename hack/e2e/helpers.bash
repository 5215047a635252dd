# Sourced by `show`: how it says what it saw, waits, asks and watches.
# shellcheck shell=bash

readonly release=bailiwick-system example=examples/quickstart work=$NODE_DIR/show
mkdir "$work"
say() { printf '\n==> %s\n' "$*"; }
now() { echo "${EPOCHREALTIME/[.,]/}"; } # in microseconds
begin=$(now)
start() { begin=$(now); }
pass() { echo "PASS $* ($((($(now) - begin) / 1000)) ms)"; start; }
fail() {
  echo "FAIL $*" >&2
  kubectl get pods --all-namespaces --output wide >&2
  kubectl get events --all-namespaces --field-selector type=Warning | tail -n 15 >&2
  kubectl --namespace "$release" logs --selector app.kubernetes.io/name=bailiwick --tail 15 --prefix >&2
  exit 1
}
within() { # SECONDS COMMAND…
  local end=$((SECONDS + $1))
  until "${@:2}"; do ((SECONDS < end)) || return 1; sleep 0.1; done
}
is() { [[ $("${@:2}" 2>/dev/null) == "$1" ]]; } # TEXT COMMAND…
refused() { # PATTERN COMMAND…: it fails, and says so
  if "${@:2}" >"$work/refused" 2>&1; then return 1; fi
  grep -Eq -- "$1" "$work/refused" || { cat "$work/refused" >&2; return 1; }
}
ours() { kubectl --namespace "$release" "$@"; }
in_team() { kubectl --namespace data-science "$@"; }
pods() { ours get pods --selector app.kubernetes.io/name=bailiwick --output 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}'; }
leader() { # the holder is the Pod and the process in it, which is number 1
  local holder
  holder=$(ours get lease bailiwick --output 'jsonpath={.spec.holderIdentity}')
  echo "${holder%-1}"
}
somebody_leads() { local one; one=$(leader) && [[ -n $one ]] && grep -qxF "$one" <<<"$(pods)"; }
other_leads() { local one; one=$(leader) && [[ -n $one && $one != "$1" ]]; }
can() { kubectl auth can-i --quiet "${@:3}" --namespace "$2" --as "$1@example.com" 2>/dev/null; } # USER NAMESPACE VERB RESOURCE…
cannot() { ! can "$@"; }
hire() { # NAME: somebody new in the organization platform, where nobody's promised access changes by it
  kubectl apply --filename - >/dev/null <<YAML
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: $1}
spec: {username: $1@example.com}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Group
metadata: {name: $1, namespace: platform}
spec: {members: ["$1@example.com"]}
YAML
}

# --- The promised access, as one List of questions and the answers to them
for part in questions answers; do
  helm template access "$HERE/access" --values "$example/chart/access.yaml" --show-only "templates/$part.yaml" |
    grep -Ev '^(---|# .*|)$' >"$work/$part"
done
cells=$(wc -l <"$work/answers")
ask() { # FILE: what is answered otherwise than promised
  kubectl create --filename "$work/questions" --output 'jsonpath={.status.allowed}{"\n"}' >"$1.answers" 2>"$1.errors" ||
    { echo "no answers: $(head -n 1 "$1.errors")"; return; }
  paste -d ' ' "$1.answers" "$work/answers" | awk '$1 != $2 {$2 = ""; print "wrongly " $0}'
}
as_promised() { ask "$work/once" >"$work/wrong" && [[ ! -s $work/wrong ]]; }

# While something is done to the operator, the answers are asked for over and over, and the native objects are watched.
watches=()
readonly native=(roles rolebindings clusterroles clusterrolebindings)
watch_native() {
  local kind listed
  for kind in "${native[@]}"; do
    kind=$kind.rbac.authorization.k8s.io
    listed=$(kubectl get "$kind" --all-namespaces --selector app.kubernetes.io/managed-by=bailiwick --output name | wc -l)
    kubectl get "$kind" --all-namespaces --selector app.kubernetes.io/managed-by=bailiwick --no-headers --watch \
      --output-watch-events >"$work/watch.$kind" 2>&1 &
    watches+=($!)
    within 10 has_lines "$work/watch.$kind" "$listed" || fail "the watch of $kind does not begin"
  done
  cat "$work"/watch.* | wc -l >"$work/seen"
}
has_lines() { (($(wc -l <"$1") >= $2)); }
touched() { echo $(($(cat "$work"/watch.* | wc -l) - $(<"$work/seen"))); }
have_seen_something() { (($(touched) > 0)); }
asking=
keep_asking() {
  rm -f "$work/stop" "$work/asked" "$work/otherwise"
  while kill -0 $$ && [[ ! -e $work/stop ]]; do ask "$work/over-and-over" >>"$work/otherwise"; echo >>"$work/asked"; done &
  asking=$!
}
stop_asking() { # WHAT WAS DONE
  touch "$work/stop"
  wait "$asking"
  asking=
  [[ ! -s $work/otherwise ]] || { head -n 20 "$work/otherwise" >&2; fail "$1: wrong answers"; }
  local rounds; rounds=$(wc -l <"$work/asked")
  pass "$1: $((rounds * cells)) answers in $rounds rounds, none of them wrong"
}
end() {
  local process
  for process in "${watches[@]}" $asking; do kill "$process" 2>/dev/null || true; done
}
trap end EXIT

# --- Processes as the node sees them
process_of() { # POD: the one process of its container, by number here
  local container
  container=$(ours get pod "$1" --output 'jsonpath={.status.containerStatuses[0].containerID}')
  grep -ls -- "${container#containerd://}" /proc/[0-9]*/cgroup | cut -d/ -f3
}
restarts() { ours get pod "$1" --output 'jsonpath={.status.containerStatuses[0].restartCount}'; }
