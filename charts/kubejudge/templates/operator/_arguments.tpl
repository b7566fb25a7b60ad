{{/* The operator's flags: those that the chart knows, then those of operator.flags. */}}
{{- define "kubejudge.operatorArguments" -}}
{{- $operator := .Values.operator -}}
- --listen=0.0.0.0:8080
- --log-format={{ $operator.logFormat }}
- --redis-password-file=/etc/kubejudge/redis/password
{{- if include "kubejudge.redisCa" . }}
- --redis-ca-file=/etc/kubejudge/redis/ca.crt
- --runner-redis-ca
{{- end }}
- --worker-pool-namespaces={{ include "kubejudge.poolNamespaces" . }}
- --runner-image={{ include "kubejudge.image" (list . .Values.runner.image) }}
{{- if and (not .Values.redis.enabled) .Values.redis.external.runnerSecret }}
- --runner-redis-secret={{ .Values.redis.external.runnerSecret }}
{{- end }}
{{- with $operator.namespaces }}
- --namespaces={{ join "," . }}
{{- end }}
{{- if not (kindIs "invalid" $operator.defaultTtlSeconds) }}
- --default-ttl-seconds={{ int64 $operator.defaultTtlSeconds }}
{{- end }}
{{- range $name, $value := $operator.flags }}
{{- if kindIs "bool" $value }}
{{- if $value }}
- --{{ $name }}
{{- end }}
{{- else }}
- {{ printf "--%s=%s" $name (ternary (printf "%d" (int64 $value)) (toString $value) (kindIs "float64" $value)) | quote }}
{{- end }}
{{- end }}
{{- end -}}
