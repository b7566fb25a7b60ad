# shellcheck shell=bash
# The steps from a cluster with our images to the scoreboard, for minikube/up and for e2e/node. Sourced from the repository's folder.
# HELM, HELM_FLAGS: the Helm to use, and flags of its installs that the cluster makes necessary.
HELM=${HELM:-helm}
read -ra HELM_FLAGS <<<"${HELM_FLAGS:-}"
RELEASE=kubejudge NAMESPACE=kubejudge
# shellcheck disable=SC2034 # for those that source this
IMAGES=(operator sandbox-runner toolchains)

say() { # say COMMAND ARG...: as in a terminal
  echo "\$ $*"
  "$@"
}
version() { # of this checkout, which its images and its chart have
  sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' charts/kubejudge/Chart.yaml
}
image() { # image NAME: as the chart calls it
  echo "ghcr.io/kubejudge/$1:$(version)"
}
dockerfile() { # dockerfile NAME
  case $1 in
    toolchains) echo sandbox-runner/toolchains/Dockerfile ;;
    *) echo "$1/Dockerfile" ;;
  esac
}
install_chart() { # install_chart [HELM ARG]...: installs or upgrades, and waits until runners have proven every language
  say "$HELM" upgrade --install "$RELEASE" charts/kubejudge --namespace "$NAMESPACE" --create-namespace --wait --timeout 10m \
    "${HELM_FLAGS[@]}" "$@"
  if "$HELM" list --namespace "$NAMESPACE" --filter "^$RELEASE\$" --output yaml | grep -q 'revision: "1"'; then
    # Once: takes the Languages and pools over, which the install made beside the release, as their kinds were new.
    say "$HELM" upgrade "$RELEASE" charts/kubejudge --namespace "$NAMESPACE" --reuse-values --wait "${HELM_FLAGS[@]}"
  fi
  say kubectl wait --for=condition=Ready workerpools --all --namespace "$NAMESPACE" --timeout=300s
  say kubectl get workerpools --namespace "$NAMESPACE"
}
test_chart() {
  say "$HELM" test "$RELEASE" --namespace "$NAMESPACE"
}
judge_examples() {
  say kubectl apply -f manifests/examples/ | sed '4,$d'
  echo '...'
  say kubectl wait --for=condition=Finished submissions --all --timeout=600s | sed '4,$d'
  echo '...'
}
scoreboard() { # fails if a verdict is not the example's expected one
  local all='{range .items[*]}{.metadata.name}{" "}{.metadata.annotations.kubejudge\.dev/expected-verdict}{" "}{.status.verdict}{" "}{.status.message}{"\n"}{end}'
  say kubectl get submissions
  kubectl get submissions -o "jsonpath=$all" | awk '
    $2 != $3 {print "not as expected: " $0; wrong++}
    END {printf "%d judged, %d not as expected\n", NR, wrong; exit wrong > 0 || NR == 0}'
}
uninstall_chart() {
  say "$HELM" uninstall "$RELEASE" --namespace "$NAMESPACE" --wait
}
