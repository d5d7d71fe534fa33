"""Which control plane the sandbox runs; `binaries/go.mod` names the same versions, and a test compares them."""

KUBERNETES_VERSION = "v1.36.3"
ETCD_VERSION = "v3.6.8"
KUBERNETES_NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NAMES = ("etcd", *KUBERNETES_NAMES)
