{{/* Combinations of values that cannot work, each refused with what to do. The schema refuses what is wrong by itself. */}}
{{- define "kubejudge.validate" -}}
{{- $redis := .Values.redis -}}
{{- if and (not $redis.enabled) (not $redis.external.existingSecret) -}}
{{- fail "redis.external.existingSecret: name a Secret with url and password of your Redis, or set redis.enabled=true" -}}
{{- end -}}
{{- if and $redis.enabled (or $redis.external.existingSecret $redis.external.runnerSecret) -}}
{{- fail "redis.external: set redis.enabled=false to use a Redis of your own" -}}
{{- end -}}
{{- if and $redis.external.ca $redis.enabled -}}
{{- fail "redis.external.ca: the chart's own Redis has no TLS; set redis.enabled=false to use a Redis of your own" -}}
{{- end -}}
{{- if and .Values.operator.namespaces (not (has (include "kubejudge.testNamespace" .) .Values.operator.namespaces)) -}}
{{- fail (printf "helmTest.namespace: %s is not one of operator.namespaces" (include "kubejudge.testNamespace" .)) -}}
{{- end -}}
{{- if and .Values.languages.install .Values.helmTest.enabled (not (has .Values.helmTest.language .Values.languages.names)) -}}
{{- fail (printf "helmTest.language: %s is not one of languages.names" .Values.helmTest.language) -}}
{{- end -}}
{{- range $name, $pool := include "kubejudge.pools" . | fromJson -}}
{{- include "kubejudge.validatePool" (list $ $name $pool) -}}
{{- end -}}
{{- end -}}

{{/* usage: (list $ NAME POOL) */}}
{{- define "kubejudge.validatePool" -}}
{{- $where := printf "workerPools.%s" (index . 1) -}}
{{- $pool := index . 2 -}}
{{- $limits := ($pool.spec.resources | default dict).limits | default dict -}}
{{- if not $limits.memory -}}
{{- fail (printf "%s.spec.resources.limits.memory: is required, boxes share it out among themselves" $where) -}}
{{- end -}}
{{- if not $pool.spec.languages -}}
{{- fail (printf "%s.spec.languages: name at least one Language" $where) -}}
{{- end -}}
{{- if not $pool.spec.redisSecretName -}}
{{- fail (printf "%s.spec.redisSecretName: name a Secret with url and password for the pool's runners, or set redis.external.runnerSecret" $where) -}}
{{- end -}}
{{- if $pool.autoscaling.enabled -}}
{{- if hasKey $pool.spec "replicas" -}}
{{- fail (printf "%s.spec.replicas: leave it unset where autoscaling is enabled, or each upgrade would reset it" $where) -}}
{{- end -}}
{{- if gt (int $pool.autoscaling.minReplicas) (int $pool.autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling: minReplicas is above maxReplicas" $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}
