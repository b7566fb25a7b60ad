{{/* Languages of files/languages, which `e2e/chart/generate` copies, and WorkerPools. usage: (list $ ANNOTATIONS) */}}
{{- define "kubejudge.customResources" -}}
{{- $root := index . 0 -}}
{{- $annotations := index . 1 -}}
{{- if $root.Values.languages.install }}
{{- $labels := include "kubejudge.labels" (list $root "language") }}
{{- range $root.Values.languages.names }}
{{- $metadata := printf "\nmetadata:\n  labels:\n%s\n" (indent 4 $labels) }}
{{- with $annotations }}
{{- $metadata = printf "%s  annotations:\n%s\n" $metadata (toYaml . | indent 4) }}
{{- end }}
---
{{ $root.Files.Get (printf "files/languages/%s.yaml" .) | replace "\nmetadata:\n" $metadata }}
{{- end }}
{{- end }}
{{- range $name, $pool := include "kubejudge.pools" $root | fromJson }}
---
apiVersion: kubejudge.dev/v1alpha1
kind: WorkerPool
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "kubejudge.labels" (list $root "worker-pool") | nindent 4 }}
    {{- with $pool.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) $annotations ($pool.annotations | default dict) }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec: {{- toYaml $pool.spec | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Refuses a first upgrade whose changes Helm would leave out without a word. */}}
{{- define "kubejudge.takesOver" -}}
{{- $root := . -}}
{{- $changed := list -}}
{{- range $name, $pool := include "kubejudge.pools" . | fromJson }}
{{- if include "kubejudge.differs" (list (lookup "kubejudge.dev/v1alpha1" "WorkerPool" $root.Release.Namespace $name) $pool.spec) }}
{{- $changed = append $changed (printf "WorkerPool %s" $name) }}
{{- end }}
{{- end }}
{{- range (ternary .Values.languages.names (list) .Values.languages.install) }}
{{- $wanted := $root.Files.Get (printf "files/languages/%s.yaml" .) | fromYaml }}
{{- if include "kubejudge.differs" (list (lookup "kubejudge.dev/v1alpha1" "Language" "" .) $wanted.spec) }}
{{- $changed = append $changed (printf "Language %s" .) }}
{{- end }}
{{- end }}
{{- with $changed }}
{{- fail (printf "%s would change, but the first upgrade after an install can only take these objects over as they are: first upgrade once with the chart and the values of the install (helm upgrade %s CHART --namespace %s --reuse-values), then again with yours" (join ", " .) $root.Release.Name $root.Release.Namespace) }}
{{- end }}
{{- end -}}

{{/* Whether an object that a hook made has another spec than the wanted one, defaults aside. usage: (list OBJECT SPEC) */}}
{{- define "kubejudge.differs" -}}
{{- $there := index . 0 -}}
{{- if hasKey (dig "metadata" "annotations" dict $there) "helm.sh/hook" }}
{{- $wanted := index . 1 | toJson | fromJson }}
{{- if ne (mergeOverwrite (deepCopy $there.spec) $wanted | toJson) ($there.spec | toJson) -}}
true
{{- end }}
{{- end }}
{{- end -}}
