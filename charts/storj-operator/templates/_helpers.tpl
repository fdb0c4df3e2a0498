{{- define "storj-operator.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "storj-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "storj-operator.selector" -}}
app.kubernetes.io/name: {{ include "storj-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "storj-operator.labels" -}}
{{ include "storj-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: storj
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "storj-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "storj-operator.fullname" .) }}{{ else }}{{ required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "storj-operator.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ required "image.tag (or image.digest) is needed: images are named by content, never `latest`" .Values.image.tag }}{{ end }}
{{- end }}

{{/* Watched namespaces as a JSON list; empty means all. */}}
{{- define "storj-operator.namespaces" -}}
{{- if .Values.clusterWide }}[]{{ else if .Values.watchNamespaces }}{{ .Values.watchNamespaces | toJson }}{{ else }}{{ list .Release.Namespace | toJson }}{{ end }}
{{- end }}

{{/* What the operator does in a namespace that it watches. Secrets: never listed or watched. */}}
{{- define "storj-operator.rules" -}}
- apiGroups: [storjfarm.io]
  resources: [storjfarms, storjbuckets]
  verbs: [get, list, watch, patch]
- apiGroups: [storjfarm.io]
  resources: [storjfarms/status, storjbuckets/status]
  verbs: [get, patch]
- apiGroups: [storjfarm.io]
  resources: [storjfarms/finalizers, storjbuckets/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims, services, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
