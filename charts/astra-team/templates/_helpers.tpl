{{- define "astra-team.labels" -}}
app.kubernetes.io/name: astra-team
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: astra
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "astra-team.image" -}}
{{ .Values.settings.image | default (printf "astra-jobs:%s" .Chart.AppVersion) }}
{{- end }}

{{- /* A number of a user as text: one that is no text would be written as 1e+09. */ -}}
{{- define "astra-team.number" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end }}
{{- end }}

{{- define "astra-team.user" -}}
{{- include "astra-team.number" .Values.settings.podUser }}
{{- end }}

{{- define "astra-team.group" -}}
{{- if include "astra-team.number" .Values.settings.podGroup }}
{{- include "astra-team.number" .Values.settings.podGroup }}
{{- else if ne (include "astra-team.user" .) "Assigned" }}
{{- include "astra-team.user" . }}
{{- end }}
{{- end }}

{{- /* Whom a pod runs as: what the operator writes into every pod of a run, see settings.podUser. */ -}}
{{- define "astra-team.security" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- if ne (include "astra-team.user" .) "Assigned" }}
runAsUser: {{ include "astra-team.user" . }}
{{- end }}
{{- with include "astra-team.group" . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}

{{- /* Where a team's pods may go besides each other: names, and what the values say of stores and endpoints. */ -}}
{{- define "astra-team.egress" -}}
- to:
    - namespaceSelector: {{- toYaml .Values.network.names.namespaces | nindent 8 }}
      podSelector: {{- toYaml .Values.network.names.pods | nindent 8 }}
    {{- range .Values.network.names.addresses }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  ports: {{- toYaml .Values.network.names.ports | nindent 4 }}
{{- range .Values.network.addresses }}
- to:
    - ipBlock:
        cidr: {{ .cidr }}
        {{- with .except }}
        except: {{- toYaml . | nindent 10 }}
        {{- end }}
  ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- range .Values.network.namespaces }}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .name }}
  ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end }}
