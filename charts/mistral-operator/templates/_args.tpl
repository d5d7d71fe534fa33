{{/* What `mistral-operator run` is told. What is empty isn't said: the operator discovers it. */}}
{{- define "mistral-operator.args" -}}
- run
- --leader-elect
- --lease-namespace={{ include "mistral-operator.leaseNamespace" . }}
- --health-port=8080
- --workers={{ .Values.workers }}
- --resync-s={{ .Values.resyncSeconds }}
- --claim-idle-after-s={{ .Values.claimIdleAfterSeconds }}
- --drift={{ .Values.drift }}
- --slice-upgrades={{ .Values.sliceUpgrades }}
- --{{ if not .Values.liveChecks }}no-{{ end }}live-checks
- --zone-patience-s={{ .Values.ladder.zonePatienceSeconds }}
- --stockout-cooldown-s={{ .Values.ladder.stockoutCooldownSeconds }}
- --refused-cooldown-s={{ .Values.ladder.refusedCooldownSeconds }}
- --return-interval-s={{ .Values.ladder.returnIntervalSeconds }}
- --successor-lead-s={{ .Values.ladder.successorLeadSeconds }}
- --successor-margin={{ .Values.ladder.successorMargin }}
- --catalogue-directory=/etc/mistral-operator/catalogue
{{- if has "ConfigConnector" .Values.provisioners }}
- --config-connector-namespace={{ include "mistral-operator.configConnectorNamespace" . }}
{{- end }}
{{- range $name := list "project" "location" "cluster" }}
{{- with get $.Values $name }}
- {{ printf "--%s=%s" $name . | quote }}
{{- end }}
{{- end }}
{{- range .Values.provisioners }}
- --provisioner={{ . }}
{{- end }}
{{- with .Values.zones }}
- {{ printf "--zones=%s" (join "," .) | quote }}
{{- end }}
{{- $own := dict "gateway" (include "mistral-operator.image" .) }}
{{- range $engine, $image := merge (deepCopy .Values.images) $own }}
- {{ printf "--image=%s=%s" $engine $image | quote }}
{{- end }}
{{- if eq .Values.logLevel "debug" }}
- --verbose
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
