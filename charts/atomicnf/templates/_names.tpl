{{/* Names and labels. A release called "atomicnf" gives plain names. */}}
{{- define "atomicnf.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default "atomicnf" .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "atomicnf.selector" -}}
app.kubernetes.io/name: {{ default "atomicnf" .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "atomicnf.labels" -}}
{{ include "atomicnf.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "atomicnf.webhook" -}}
{{ include "atomicnf.fullname" . }}-webhook
{{- end -}}

{{- define "atomicnf.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (printf "%s-operator" (include "atomicnf.fullname" .)) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the account to use, or set serviceAccount.create=true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The URL that sidecars and operator use. Host-network pods resolve cluster names too. */}}
{{- define "atomicnf.redisUrl" -}}
{{- if .Values.redis.enabled -}}
redis://{{ include "atomicnf.fullname" . }}-redis.{{ .Release.Namespace }}.svc:6379
{{- else -}}
{{- required "externalRedis.url: give the URL of your Redis, or set redis.enabled=true" .Values.externalRedis.url -}}
{{- end -}}
{{- end -}}

{{/* For every container here: nothing of the node, no privilege, nothing to write. */}}
{{- define "atomicnf.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "atomicnf.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}
