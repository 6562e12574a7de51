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

{{- /* Where a team's pods may go besides each other: names, and what the values say of stores and endpoints. */ -}}
{{- define "astra-team.egress" -}}
- to:
    - namespaceSelector: {{- toYaml .Values.network.names.namespaces | nindent 8 }}
      podSelector: {{- toYaml .Values.network.names.pods | nindent 8 }}
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
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
