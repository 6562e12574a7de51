{{- /* Generated from astra_operator/chartgen by 'make generate'; do not edit. */ -}}
{{- /* Fills .Values in: a block is a map of the defaults, the default of a value is the one item of a list. */ -}}
{{- define "astra-operator.fill" -}}
{{- include "astra-operator.fill-block" (dict "into" .Values "from" (fromJson `{"scope": {"mode": ["Cluster"], "namespaces": [[]]}, "rights": {"namespaces": [true], "runtimeClasses": [true], "people": [true]}, "serviceAccount": {"create": [true], "name": [""], "annotations": [{}]}, "image": {"repository": ["astra-operator"], "tag": [""], "digest": [""], "pullPolicy": ["IfNotPresent"]}, "pace": {"workers": [8], "resyncSeconds": [300], "leaseSeconds": [15], "silenceSeconds": [70], "pollSeconds": [10], "progressSeconds": [30], "firstRestartSeconds": [10]}, "pod": {"labels": [{}], "annotations": [{}], "env": [[]], "resources": [{"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}], "nodeSelector": [{}], "tolerations": [[]], "affinity": [{}], "priorityClassName": [""], "imagePullSecrets": [[]]}, "networkPolicy": {"enabled": [true], "apiServerPorts": [[443, 6443]], "apiServerCidrs": [[]], "namesPorts": [[{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]], "metricsFrom": [{}]}, "podDisruptionBudget": {"enabled": [true]}, "serviceMonitor": {"enabled": [false], "interval": ["30s"], "labels": [{}]}, "prometheusRule": {"enabled": [false], "labels": [{}]}, "dashboard": {"enabled": [false], "labels": [{"grafana_dashboard": "1"}]}, "leastIsolation": {"enabled": [false], "isolation": ["gVisor"], "runtimeClasses": [["gvisor"]], "networkPolicy": ["Enforced"]}}`)) }}
{{- end }}

{{- define "astra-operator.fill-block" -}}
{{- range $key, $default := .from }}
{{- if kindIs "invalid" (get $.into $key) }}
{{- $_ := unset $.into $key }}
{{- end }}
{{- if kindIs "map" $default }}
{{- if not (hasKey $.into $key) }}
{{- $_ := set $.into $key (dict) }}
{{- end }}
{{- include "astra-operator.fill-block" (dict "into" (get $.into $key) "from" $default) }}
{{- else if not (hasKey $.into $key) }}
{{- $_ := set $.into $key (first $default) }}
{{- end }}
{{- end }}
{{- end }}
