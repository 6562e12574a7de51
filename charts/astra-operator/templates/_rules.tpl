{{- /*
What the operator may do in a namespace that it serves, and nothing elsewhere. No rule reads a Secret, none starts a process in a pod. A
test compares them with what the API server's audit log shows, both ways.
*/ -}}
{{- define "astra-operator.rules" -}}
# Runs belong to their users: the operator reads them and writes their status.
- apiGroups: [astra.dev]
  resources: [toolcorpora, chainsyntheses, envsyntheses, sftruns, rlruns]
  verbs: [get, list, watch]
- apiGroups: [astra.dev]
  resources: [toolcorpora/status, chainsyntheses/status, envsyntheses/status, sftruns/status, rlruns/status]
  verbs: [update]
# Asked for by API servers that check who may block the deletion of an owner (OwnerReferencesPermissionEnforcement).
- apiGroups: [astra.dev]
  resources: [toolcorpora/finalizers, chainsyntheses/finalizers, envsyntheses/finalizers, sftruns/finalizers, rlruns/finalizers]
  verbs: [update]
# Attempts and requests, with the annotations that say how they ended; the team's settings.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# Pods are made by Jobs and PyTorchJobs; the operator removes those whose workload is gone.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [kubeflow.org]
  resources: [pytorchjobs]
  verbs: [get, list, watch, create, delete]
# Sandbox pools, where the team's isolation is gVisor. Their keys are made and removed, never read.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete]
# Why nothing starts, where neither a workload nor its pods tell.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# What kubectl describe tells of a run's life.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# Why a run waits for quota.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list, watch]
# One Lease, by its name; creation cannot be bound to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [astra-operator]
  verbs: [get, list, watch, update]
{{- end }}
