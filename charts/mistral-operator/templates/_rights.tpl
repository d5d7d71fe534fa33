{{- /* Generated from operator/mistral_operator/cluster/rights.py by make crds; do not edit. */ -}}
{{- define "mistral-operator.clusterRules" -}}
# Models are people's: read, and never written but for their status.
- apiGroups: [serving.mistral-operator.dev]
  resources: [mistralmodels]
  verbs: [get, list, watch]
# Claims are the operator's own, cluster-wide, one for each node pool.
- apiGroups: [serving.mistral-operator.dev]
  resources: [nodepoolclaims]
  verbs: [get, list, watch, create, patch, delete]
# Serving classes are the platform team's: read, and never written.
- apiGroups: [serving.mistral-operator.dev]
  resources: [mistralservingclasses]
  verbs: [list, watch]
# How models and claims fare.
- apiGroups: [serving.mistral-operator.dev]
  resources: [mistralmodels/status, nodepoolclaims/status]
  verbs: [patch]
# What a model owns. They are read one by one only where an object may be somebody else's, which is then left alone.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# How replicas fare, on which nodes. Only those with the operator's labels are watched; all pods on the nodes of a pool are listed when the policy for drift is `Replace` and it is to be made again.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The deletion cost of a replica whose node is going to end, so that this one goes when its successor answers.
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
# How replicas fare, on which nodes. Only those with the operator's labels are watched; all pods on the nodes of a pool are listed when the policy for drift is `Replace` and it is to be made again.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
# Its uid tells this cluster from all others, in the labels of the node pools.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
# What the cluster autoscaler says of pods, and what the operator says of models.
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch, create]
{{- end }}
{{- define "mistral-operator.rulesOfComputeClass" -}}
# One ComputeClass for each claim, only with `--provisioner ComputeClass`; others are only listed.
- apiGroups: [cloud.google.com]
  resources: [computeclasses]
  verbs: [list, create, delete]
{{- end }}
{{- define "mistral-operator.leaseRules" -}}
# Who leads, only with `--leader-elect`, and only in the Lease's namespace.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [mistral-operator]
  verbs: [get, update]
{{- end }}
{{- define "mistral-operator.configConnectorRules" -}}
# Node pools as objects, only with `--provisioner ConfigConnector`, and only in their namespace.
- apiGroups: [container.cnrm.cloud.google.com]
  resources: [containernodepools]
  verbs: [get, list, create, patch, delete]
{{- end }}
