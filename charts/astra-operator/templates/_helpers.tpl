{{- define "astra-operator.selector" -}}
app.kubernetes.io/name: astra-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "astra-operator.labels" -}}
{{ include "astra-operator.selector" . }}
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
