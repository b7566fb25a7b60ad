{{/* The operator's rights. The tests run it with exactly these (e2e/src/rbac.rs) and compare. */}}

{{/* In each namespace that it serves. */}}
{{- define "kubejudge.servedRules" -}}
- apiGroups: [kubejudge.dev]
  resources: [submissions]
  verbs: [get, list, watch, delete] # deletes what has outlived its ttlSecondsAfterFinished
- apiGroups: [kubejudge.dev]
  resources: [submissions/status]
  verbs: [update, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get] # sources
{{- end -}}

{{/* In the whole cluster. */}}
{{- define "kubejudge.clusterRules" -}}
- apiGroups: [kubejudge.dev]
  resources: [languages]
  verbs: [list, watch]
- apiGroups: [kubejudge.dev]
  resources: [languages/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch] # their labels say which pools serve them
{{- end -}}

{{/* In each namespace whose WorkerPools are used. */}}
{{- define "kubejudge.poolRules" -}}
- apiGroups: [kubejudge.dev]
  resources: [workerpools]
  verbs: [list, watch]
- apiGroups: [kubejudge.dev]
  resources: [workerpools/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch]
{{- end -}}

{{/* A Role for the operator in a namespace. usage: (list $ NAMESPACE SUFFIX RULES) */}}
{{- define "kubejudge.operatorRole" -}}
{{- $root := index . 0 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ include "kubejudge.fullname" $root }}-{{ index . 2 }}
  namespace: {{ index . 1 }}
  labels: {{- include "kubejudge.labels" (list $root "operator") | nindent 4 }}
rules: {{- index . 3 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ include "kubejudge.fullname" $root }}-{{ index . 2 }}
  namespace: {{ index . 1 }}
  labels: {{- include "kubejudge.labels" (list $root "operator") | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "kubejudge.fullname" $root }}-{{ index . 2 }}
subjects:
  - {kind: ServiceAccount, name: {{ include "kubejudge.serviceAccountName" $root }}, namespace: {{ $root.Release.Namespace }}}
{{ end -}}
