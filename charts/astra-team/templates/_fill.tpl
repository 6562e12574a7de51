{{- /* Generated from astra_operator/chartgen by 'make generate'; do not edit. */ -}}
{{- /* Fills .Values in: a block is a map of the defaults, the default of a value is the one item of a list. */ -}}
{{- define "astra-team.fill" -}}
{{- include "astra-team.fill-block" (dict "into" .Values "from" (fromJson `{"settings": {"storeUrl": [""], "storeEndpoint": [""], "storeSecret": [""], "image": [""], "podUser": ["65532"], "podGroup": [""], "isolation": ["Process"], "runtimeClass": ["gvisor"], "networkPolicy": ["Enforced"], "sandboxImage": [""], "sandboxUsers": ["Own"]}, "namespace": {"manage": [true], "enforce": ["baseline"], "warn": ["restricted"], "audit": ["restricted"], "labels": [{}]}, "quota": {"enabled": [true], "cpu": ["64"], "memory": ["256Gi"], "gpus": [8], "gpuResource": ["nvidia.com/gpu"], "pods": [200], "jobs": [200], "pools": [50], "runs": [100], "configMaps": [1000], "secrets": [200], "services": [100], "more": [{}]}, "limits": {"enabled": [true], "cpu": ["250m"], "memory": ["512Mi"], "mostMemory": [""]}, "queue": {"enabled": [false], "name": ["team"], "clusterQueue": ["team"]}, "network": {"enabled": [true], "names": {"namespaces": [{"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}], "pods": [{"matchLabels": {"k8s-app": "kube-dns"}}], "ports": [[{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]], "addresses": [[]]}, "addresses": [[]], "namespaces": [[]], "apiServerPorts": [[443, 6443]], "apiServerCidrs": [[]]}, "serviceAccount": {"name": ["astra-jobs"], "annotations": [{}], "imagePullSecrets": [[]]}, "operator": {"namespace": ["astra-system"], "serviceAccount": ["astra-operator"], "rights": [false]}, "collection": {"enabled": [true], "remove": [false], "schedule": ["17 3 * * *"], "suspend": [false], "days": [7], "image": {"repository": ["astra-operator"], "tag": [""], "digest": [""], "pullPolicy": ["IfNotPresent"]}, "claim": [""], "claimPath": ["/store"], "resources": [{"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}], "nodeSelector": [{}], "tolerations": [[]]}}`)) }}
{{- end }}

{{- define "astra-team.fill-block" -}}
{{- range $key, $default := .from }}
{{- if kindIs "invalid" (get $.into $key) }}
{{- $_ := unset $.into $key }}
{{- end }}
{{- if kindIs "map" $default }}
{{- if not (hasKey $.into $key) }}
{{- $_ := set $.into $key (dict) }}
{{- end }}
{{- include "astra-team.fill-block" (dict "into" (get $.into $key) "from" $default) }}
{{- else if not (hasKey $.into $key) }}
{{- $_ := set $.into $key (first $default) }}
{{- end }}
{{- end }}
{{- end }}
