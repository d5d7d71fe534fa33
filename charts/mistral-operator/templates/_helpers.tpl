{{/* Name of the namespaced objects: at most 63 characters, because it is also a label. */}}
{{- define "mistral-operator.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $made := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $made | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/*
Name of roles and bindings. Cluster-wide names hold the namespace, because releases in two namespaces may have one name;
the colons, which no other part can hold, keep "a-b" in "c" from "a" in "b-c".
*/}}
{{- define "mistral-operator.roleName" -}}
mistral-operator:{{ .Release.Namespace }}:{{ include "mistral-operator.fullname" . }}
{{- end }}

{{- define "mistral-operator.selectorLabels" -}}
app.kubernetes.io/name: mistral-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mistral-operator.labels" -}}
{{ include "mistral-operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." }}
{{- end }}

{{- define "mistral-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "mistral-operator.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.create is false: name a ServiceAccount that is there in serviceAccount.name" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "mistral-operator.leaseNamespace" -}}
{{- .Values.leaderElection.namespace | default .Release.Namespace -}}
{{- end }}

{{- define "mistral-operator.configConnectorNamespace" -}}
{{- .Values.configConnector.namespace | default .Release.Namespace -}}
{{- end }}

{{- define "mistral-operator.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if not .Values.image.repository -}}
{{- fail (printf (.Files.Get "files/no-image.txt") $tag $tag) -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end }}

{{/*
Who installed a definition before, as "namespace/release", or "nobody's release" for one that helm doesn't know. Empty:
it may be installed by this release. Without a cluster (helm template, GitOps) nothing is found, so it is installed.
*/}}
{{- define "mistral-operator.otherOwner" -}}
{{- $there := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" .name -}}
{{- if and $there (not .context.Values.crds.adopt) -}}
{{- $notes := $there.metadata.annotations | default dict -}}
{{- $release := get $notes "meta.helm.sh/release-name" -}}
{{- $namespace := get $notes "meta.helm.sh/release-namespace" -}}
{{- if not $release -}}
nobody's release
{{- else if or (ne $release .context.Release.Name) (ne $namespace .context.Release.Namespace) -}}
{{ $namespace }}/{{ $release }}
{{- end -}}
{{- end -}}
{{- end }}
