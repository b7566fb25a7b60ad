{{/* Names, labels and other things that templates share. */}}

{{- define "kubejudge.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters, so that names made of it stay within 63. */}}
{{- define "kubejudge.fullname" -}}
{{- $name := include "kubejudge.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that select pods never change: an upgrade could not change a Deployment's. usage: (list $ COMPONENT) */}}
{{- define "kubejudge.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "kubejudge.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of every object. usage: (list $ COMPONENT) */}}
{{- define "kubejudge.labels" -}}
{{- $root := index . 0 -}}
{{ include "kubejudge.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kubejudge
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{/* Labels of runners, which the operator sets. */}}
{{- define "kubejudge.runnerLabels" -}}
app.kubernetes.io/name: kubejudge
app.kubernetes.io/component: runner
app.kubernetes.io/managed-by: kubejudge-operator
{{- end -}}

{{/* An image's name. usage: (list $ IMAGE) */}}
{{- define "kubejudge.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (index . 0).Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "kubejudge.serviceAccountName" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "kubejudge.fullname" .)) -}}
{{- else -}}
{{- .Values.operator.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the operator's way to Redis. */}}
{{- define "kubejudge.redisSecretName" -}}
{{- if .Values.redis.enabled -}}
{{- .Values.redis.auth.existingSecret | default (printf "%s-redis" (include "kubejudge.fullname" .)) -}}
{{- else -}}
{{- .Values.redis.external.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* The Secret with a pool's way to Redis. usage: (list $ NAME SPEC) */}}
{{- define "kubejudge.poolSecretName" -}}
{{- $root := index . 0 -}}
{{- $own := printf "%s-redis-%s" (include "kubejudge.fullname" $root) (index . 1) -}}
{{- (index . 2).redisSecretName | default (ternary $own $root.Values.redis.external.runnerSecret $root.Values.redis.enabled) -}}
{{- end -}}

{{/* Whether a CA of one's own stands in the Secrets: "true" or nothing. */}}
{{- define "kubejudge.redisCa" -}}
{{- if and (not .Values.redis.enabled) .Values.redis.external.ca }}true{{ end -}}
{{- end -}}

{{/* The pools as JSON, by name, with all that they leave unset. */}}
{{- define "kubejudge.pools" -}}
{{- $pools := dict -}}
{{- range $name, $own := .Values.workerPools -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workerPoolDefaults) (deepCopy ($own | default dict)) -}}
{{- if ne (toString $pool.enabled) "false" -}}
{{- $spec := $pool.spec | default dict -}}
{{- if not $spec.languages -}}{{- $_ := set $spec "languages" $.Values.languages.names -}}{{- end -}}
{{- if not $spec.image -}}{{- $_ := set $spec "image" (include "kubejudge.image" (list $ $.Values.toolchains.image)) -}}{{- end -}}
{{- if not (hasKey $spec "runtimeClassName") -}}{{- $_ := set $spec "runtimeClassName" $.Values.runtimeClass.name -}}{{- end -}}
{{- $_ := set $spec "redisSecretName" (include "kubejudge.poolSecretName" (list $ $name $spec)) -}}
{{- $_ := set $pool "spec" $spec -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- end -}}
{{- $pools | toJson -}}
{{- end -}}

{{/* Namespaces whose WorkerPools are used, separated by commas: the release's own first. */}}
{{- define "kubejudge.poolNamespaces" -}}
{{- prepend .Values.operator.workerPoolNamespaces .Release.Namespace | uniq | join "," -}}
{{- end -}}

{{/* What a container that needs nothing may do: passes Pod Security "restricted". */}}
{{- define "kubejudge.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The same for its pod. usage: UID */}}
{{- define "kubejudge.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Where pods run. usage: (dict "values" VALUES) */}}
{{- define "kubejudge.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Whether custom resources have to be made after the definitions that this release brings: Helm builds a release's objects before it
     installs any. "true" or nothing; see templates/workers/custom-resources.yaml. */}}
{{- define "kubejudge.kindsAreNew" -}}
{{- if and .Values.crds.install (not (.Capabilities.APIVersions.Has "kubejudge.dev/v1alpha1/WorkerPool")) }}true{{ end -}}
{{- end -}}

{{- define "kubejudge.testNamespace" -}}
{{- .Values.helmTest.namespace | default (first .Values.operator.namespaces) | default .Release.Namespace -}}
{{- end -}}
