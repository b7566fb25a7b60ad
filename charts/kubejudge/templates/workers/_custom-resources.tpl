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
