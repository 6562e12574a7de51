{{- /* What everything is selected by. `app.kubernetes.io/*` may belong to a policy of the platform, which writes its own values there. */ -}}
{{- define "astra-operator.marks" -}}
astra.dev/component: operator
astra.dev/release: {{ .Release.Name }}
{{- end }}

{{- /* The selector of a Deployment cannot change: one that an older chart has made keeps its own. */ -}}
{{- define "astra-operator.selector" -}}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace .Release.Name }}
{{- toYaml .spec.selector.matchLabels }}
{{- else }}
{{- include "astra-operator.marks" . }}
{{- end }}
{{- end }}

{{- define "astra-operator.labels" -}}
{{ include "astra-operator.marks" . }}
app.kubernetes.io/name: astra-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: astra
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "astra-operator.account" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{- /* What belongs to no namespace needs a name that no other release has. */ -}}
{{- define "astra-operator.cluster-name" -}}
{{ .Release.Namespace }}-{{ .Release.Name }}
{{- end }}

{{- define "astra-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "astra-operator.account" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
